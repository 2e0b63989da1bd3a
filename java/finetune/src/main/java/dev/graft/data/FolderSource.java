package dev.graft.data;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** A folder on disk; links are followed. */
final class FolderSource implements FileSource {
    private final Path root;

    FolderSource(Path root) {
        this.root = root;
    }

    @Override
    public List<String> names() {
        try (Stream<Path> paths = Files.walk(root, FileVisitOption.FOLLOW_LINKS)) {
            return paths.filter(path -> !path.equals(root)).map(this::name).toList();
        } catch (IOException | UncheckedIOException failure) {
            throw new DataException(root + ": cannot be listed: " + PictureDecoder.oneLine(failure), failure);
        }
    }

    private String name(Path path) {
        String name = root.relativize(path).toString().replace(File.separatorChar, '/');
        return Files.isDirectory(path) ? name + "/" : name;
    }

    @Override
    public byte[] read(String name, Limits limits) {
        return PictureDecoder.readAll(root.resolve(name), limits);
    }

    @Override
    public String describe(String name) {
        return root.resolve(name).toString();
    }

    @Override
    public void close() {
        // holds nothing open
    }
}
