package dev.graft.weights;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Comparator;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * A folder that appears whole or not at all: filled beside its place, forced to disk, then renamed. An old folder stays as
 * it was until the new one is complete. Closed without {@link #commit()} it leaves no trace. Not thread-safe.
 */
final class AtomicFolder implements AutoCloseable {
    private final Path target;
    private final Path partial;
    private final boolean overwrite;
    private boolean done;

    private AtomicFolder(Path target, Path partial, boolean overwrite) {
        this.target = target;
        this.partial = partial;
        this.overwrite = overwrite;
    }

    /**
     * Checks that a folder may be written here.
     *
     * @throws IllegalArgumentException if it is a file, holds something and may not be overwritten, or may never be replaced
     * @throws UncheckedIOException if the system would refuse
     */
    static void require(Path folder, boolean overwrite) {
        Path target = resolve(folder);
        if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            if (!Files.isDirectory(target)) {
                throw new IllegalArgumentException(folder + " is a file, expected a folder that is absent or empty");
            }
            if (!empty(target)) {
                if (!overwrite) {
                    throw new IllegalArgumentException(folder + " is not empty: expected a folder that is absent or empty, or overwrite");
                }
                if (target.getParent() == null || holds(target, "user.dir") || holds(target, "user.home")) {
                    throw new IllegalArgumentException(folder + " holds the working folder or the home folder: it is not overwritten");
                }
            }
        }
        Path above = above(target);
        if (above != null && !(Files.isDirectory(above) && Files.isWritable(above))) {
            throw failure("cannot write " + folder, new FileSystemException(above.toString(), null, "not a folder that can be written to"));
        }
    }

    /**
     * Checks that there is room for a folder of so many bytes.
     *
     * @throws UncheckedIOException if there is not
     */
    static void requireSpace(Path folder, long bytes) {
        Path above = above(resolve(folder));
        try {
            long free = above == null ? bytes : Files.getFileStore(above).getUsableSpace();
            if (free < bytes) {
                throw failure("cannot write " + folder, new FileSystemException(above.toString(), null,
                        (bytes >> 10) + " KiB are needed, " + (free >> 10) + " KiB are free"));
            }
        } catch (IOException e) {
            throw failure("cannot write " + folder, e);
        }
    }

    /** The nearest folder above that is there. */
    private static Path above(Path target) {
        Path above = target.getParent();
        while (above != null && !Files.exists(above)) {
            above = above.getParent();
        }
        return above;
    }

    /** Begins a folder; those above it are made. Throws as {@link #require} does. */
    static AtomicFolder create(Path folder, boolean overwrite) {
        require(folder, overwrite);
        Path target = resolve(folder);
        Path partial = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".part");
        try {
            Files.createDirectories(target.getParent());
            return new AtomicFolder(target, Files.createDirectory(partial), overwrite);
        } catch (IOException e) {
            throw failure("cannot write " + folder, e);
        }
    }

    /** Where the content goes until it is committed. */
    Path path() {
        return partial;
    }

    /** Forces the content to disk and puts the folder in its place. */
    void commit() {
        try (Stream<Path> all = Files.walk(partial)) {
            for (Path path : all.toList()) {
                force(path);
            }
        } catch (IOException e) {
            throw failure("cannot write " + target, e);
        }
        Path old = null;
        try {
            if (overwrite && Files.isDirectory(target) && !empty(target)) {
                old = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".old");
                Files.move(target, old, StandardCopyOption.ATOMIC_MOVE);
            }
            Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE);
            done = true;
            force(target.getParent());
        } catch (IOException e) {
            putBack(old, e);
            boolean complete = !done && Files.exists(partial);
            done = true;
            throw failure("cannot put the result into " + target + (complete ? "; it is complete in " + partial : ""), e);
        }
        if (old != null) {
            try {
                delete(old);
            } catch (IOException e) {
                throw failure(target + " is complete, but the old content cannot be removed from " + old, e);
            }
        }
    }

    private void putBack(Path old, IOException cause) {
        if (old != null && Files.exists(old) && !Files.exists(target)) {
            try {
                Files.move(old, target, StandardCopyOption.ATOMIC_MOVE);
            } catch (IOException e) {
                cause.addSuppressed(e);
            }
        }
    }

    /** Removes what was written unless it was committed. */
    @Override
    public void close() {
        if (!done) {
            done = true;
            try {
                delete(partial);
            } catch (IOException e) {
                throw failure("cannot remove " + partial, e);
            }
        }
    }

    private static Path resolve(Path folder) {
        try {
            return Files.exists(folder) ? folder.toRealPath() : folder.toAbsolutePath().normalize();
        } catch (IOException e) {
            throw failure("cannot write " + folder, e);
        }
    }

    private static boolean holds(Path target, String property) {
        String path = System.getProperty(property);
        return path != null && !path.isEmpty() && Path.of(path).toAbsolutePath().normalize().startsWith(target);
    }

    private static boolean empty(Path folder) {
        try (Stream<Path> content = Files.list(folder)) {
            return content.findAny().isEmpty();
        } catch (IOException e) {
            throw failure("cannot list " + folder, e);
        }
    }

    private static void force(Path path) throws IOException {
        if (!Files.isDirectory(path) || !System.getProperty("os.name").startsWith("Windows")) {     // which cannot open a folder
            try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
                channel.force(true);
            }
        }
    }

    private static void delete(Path folder) throws IOException {
        List<Path> content;
        try (Stream<Path> all = Files.walk(folder)) {
            content = all.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path path : content) {
            Files.deleteIfExists(path);
        }
    }

    private static UncheckedIOException failure(String what, IOException e) {
        String reason = e instanceof FileSystemException f && f.getReason() != null ? f.getReason() : e.getMessage();
        return new UncheckedIOException(what + " (" + e.getClass().getSimpleName() + (reason == null ? "" : ": " + reason) + ")", e);
    }
}
