package dev.graft.report;

import java.util.List;

/**
 * Paragraphs of plain text.
 *
 * @param title heading
 * @param paragraphs one element per paragraph
 */
public record Notes(String title, List<String> paragraphs) implements Section {
    /** Keeps an unmodifiable copy. */
    public Notes {
        paragraphs = List.copyOf(paragraphs);
    }
}
