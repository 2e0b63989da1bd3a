package dev.graft.report;

import java.util.ArrayDeque;
import java.util.Deque;

/** Writes elements, escaping every text and attribute value. Not thread-safe. */
final class Html {
    private final StringBuilder out = new StringBuilder();
    private final Deque<String> open = new ArrayDeque<>();

    /** Opens an element; the attributes are name, value, name, value. */
    Html open(String tag, String... attributes) {
        start(tag, attributes);
        open.push(tag);
        return this;
    }

    /** Closes the element opened last. */
    Html close() {
        out.append("</").append(open.pop()).append('>');
        return this;
    }

    /** An element that has no content and no end tag. */
    Html empty(String tag, String... attributes) {
        start(tag, attributes);
        return this;
    }

    /** An element that contains a text only. */
    Html element(String tag, String text, String... attributes) {
        return open(tag, attributes).text(text).close();
    }

    /** Text, isolated from the direction of its surroundings: a name may hold right-to-left or override characters. */
    Html name(String text) {
        return element("bdi", text);
    }

    Html text(String text) {
        escape(text);
        return this;
    }

    /** Markup, scripts and styles of our own. */
    Html raw(String markup) {
        out.append(markup);
        return this;
    }

    private void start(String tag, String... attributes) {
        out.append('<').append(tag);
        for (int i = 0; i < attributes.length; i += 2) {
            out.append(' ').append(attributes[i]).append("=\"");
            escape(attributes[i + 1]);
            out.append('"');
        }
        out.append('>');
    }

    private void escape(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            switch (c) {
                case '&' -> out.append("&amp;");
                case '<' -> out.append("&lt;");
                case '>' -> out.append("&gt;");
                case '"' -> out.append("&quot;");
                case '\'' -> out.append("&#39;");
                default -> out.append(c);
            }
        }
    }

    @Override
    public String toString() {
        if (!open.isEmpty()) {
            throw new IllegalStateException("element <" + open.peek() + "> is not closed");
        }
        return out.toString();
    }
}
