package dev.graft.report;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;

/**
 * A page of results. Immutable and thread-safe.
 *
 * @param title heading of the page, plain text as all text in it
 * @param lead one sentence under the heading
 * @param sections the parts, in order
 */
public record Report(String title, String lead, List<Section> sections) {
    /** Keeps an unmodifiable copy. */
    public Report {
        sections = List.copyOf(sections);
    }

    /**
     * The page as one HTML document that refers to nothing outside itself. All text is escaped, and the page's own
     * content security policy forbids every request and every script but the two it contains.
     */
    public String html() {
        return Page.of(this);
    }

    /**
     * Writes the page, replacing the file at once or not at all.
     *
     * @throws UncheckedIOException if the file cannot be written; the message names it
     */
    public void write(Path file) {
        Path target = file.toAbsolutePath();
        Path beside = target.resolveSibling(target.getFileName() + ".part");
        try {
            try (FileChannel out = FileChannel.open(beside, StandardOpenOption.CREATE, StandardOpenOption.WRITE,
                    StandardOpenOption.TRUNCATE_EXISTING)) {
                ByteBuffer bytes = ByteBuffer.wrap(html().getBytes(StandardCharsets.UTF_8));
                while (bytes.hasRemaining()) {
                    out.write(bytes);
                }
                out.force(true);
            }
            Files.move(beside, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (IOException e) {
            try {
                Files.deleteIfExists(beside);
            } catch (IOException suppressed) {
                e.addSuppressed(suppressed);
            }
            throw new UncheckedIOException("report " + file + " cannot be written: " + e.getMessage(), e);
        }
    }
}
