package dev.graft.report;

import dev.graft.weights.AtomicFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
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
     * Writes the page, replacing the file at once or not at all; the folder must exist.
     *
     * @throws java.io.UncheckedIOException if the file cannot be written; the message names it
     */
    public void write(Path file) {
        try (AtomicFile out = AtomicFile.create(file)) {
            out.write(ByteBuffer.wrap(html().getBytes(StandardCharsets.UTF_8)));
            out.commit();
        }
    }
}
