package dev.graft.data;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Small datasets written for one test, as a folder or a zip. */
final class Folders {
    private final Map<String, byte[]> files = new LinkedHashMap<>();
    private int made;

    Folders file(String name, byte[] content) {
        files.put(name, content);
        return this;
    }

    /** {@code count} different pictures {@code folder/0.bmp}, {@code folder/1.bmp} ... of 6x5 pixels. */
    Folders pictures(String folder, int count) {
        for (int i = 0; i < count; i++) {
            files.put(folder + "/" + i + ".bmp", picture(made++));
        }
        return this;
    }

    /** A 6x5 BMP whose pixels all are the 24-bit number {@code seed}. */
    static byte[] picture(int seed) {
        byte[] file = new byte[54 + 5 * 20];
        file[0] = 'B';
        file[1] = 'M';
        file[10] = 54;
        file[14] = 40;
        file[18] = 6;
        file[22] = 5;
        file[26] = 1;
        file[28] = 24;
        for (int row = 0; row < 5; row++) {
            for (int x = 0; x < 6; x++) {
                int at = 54 + 20 * row + 3 * x;
                file[at] = (byte) (seed >> 16);
                file[at + 1] = (byte) (seed >> 8);
                file[at + 2] = (byte) seed;
            }
        }
        return file;
    }

    Path write(Path root) {
        try {
            for (Map.Entry<String, byte[]> file : files.entrySet()) {
                Path path = root.resolve(file.getKey());
                if (file.getKey().endsWith("/")) {
                    Files.createDirectories(path);
                } else {
                    Files.createDirectories(path.getParent());
                    Files.write(path, file.getValue());
                }
            }
            return root;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    Path zip(Path target) {
        try (OutputStream out = Files.newOutputStream(target); ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Map.Entry<String, byte[]> file : files.entrySet()) {
                zip.putNextEntry(new ZipEntry(file.getKey()));
                zip.write(file.getValue());
                zip.closeEntry();
            }
            return target;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
