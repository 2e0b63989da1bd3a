package dev.graft.weights;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.UUID;

/**
 * A file that appears whole or not at all: written beside its place, forced to disk, then renamed over the old one. Closed
 * without {@link #commit()} it leaves no trace and the old file as it was. Not thread-safe.
 */
public final class AtomicFile implements AutoCloseable {
    private final Path target;
    private final Path partial;
    private final FileChannel channel;

    private AtomicFile(Path target, Path partial, FileChannel channel) {
        this.target = target;
        this.partial = partial;
        this.channel = channel;
    }

    /**
     * Begins to write; the folder must exist.
     *
     * @throws UncheckedIOException naming the file, here and in the other methods, if the system refuses
     */
    public static AtomicFile create(Path target) {
        Path absolute = target.toAbsolutePath();
        Path partial = absolute.resolveSibling("." + absolute.getFileName() + "." + UUID.randomUUID() + ".part");
        try {
            return new AtomicFile(absolute, partial,
                    FileChannel.open(partial, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE));
        } catch (IOException e) {
            throw failure(target, e);
        }
    }

    /** Appends all remaining bytes. */
    public void write(ByteBuffer bytes) {
        try {
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
        } catch (IOException e) {
            throw failure(target, e);
        }
    }

    /** Forces the bytes to disk, puts the file in its place and forces the folder. */
    public void commit() {
        try {
            channel.force(true);
            channel.close();
            Files.move(partial, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            if (!System.getProperty("os.name").startsWith("Windows")) {     // which cannot open a folder
                try (FileChannel folder = FileChannel.open(target.getParent(), StandardOpenOption.READ)) {
                    folder.force(true);
                }
            }
        } catch (IOException e) {
            throw failure(target, e);
        }
    }

    /** Removes what was written unless it was committed. */
    @Override
    public void close() {
        try {
            channel.close();
            Files.deleteIfExists(partial);
        } catch (IOException e) {
            throw failure(target, e);
        }
    }

    private static UncheckedIOException failure(Path target, IOException e) {
        String reason = e instanceof FileSystemException f && f.getReason() != null ? f.getReason() : e.getMessage();
        String said = reason == null ? "" : ": " + reason;
        return new UncheckedIOException("cannot write " + target + " (" + e.getClass().getSimpleName() + said + ")", e);
    }
}
