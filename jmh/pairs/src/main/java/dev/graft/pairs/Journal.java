package dev.graft.pairs;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * A results file that grows by one line per finished process, each written through to the disk, so that a run that is
 * cut off goes on where it stopped. It opens with the machine's description in lines that begin with {@code #}; a file
 * begun on another machine or commit is refused, for its rows would not pair with new ones.
 */
final class Journal {
    private final Path file;
    private final List<Row> rows = new ArrayList<>();

    private Journal(Path file) {
        this.file = file;
    }

    /**
     * @param machine what {@link Machine#describe} says of this machine
     * @throws IllegalStateException if the file describes another machine
     */
    static Journal open(Path file, Map<String, String> machine) {
        Journal journal = new Journal(file);
        StringBuilder head = new StringBuilder();
        machine.forEach((name, value) -> head.append("# ").append(name).append(": ").append(value).append('\n'));
        head.append(Row.HEADER).append('\n');
        try {
            if (!Files.exists(file)) {
                Files.createDirectories(file.toAbsolutePath().getParent());
                journal.append(head.toString());
                return journal;
            }
            String text = Files.readString(file);
            // a line without its end was being written when the run was cut off
            String whole = text.substring(0, text.lastIndexOf('\n') + 1);
            if (!whole.startsWith(head.toString())) {
                throw new IllegalStateException(file + " was begun on another machine or commit than\n" + head
                        + "name another file with --file");
            }
            if (whole.length() < text.length()) {
                Files.writeString(file, whole);
            }
            whole.substring(head.length()).lines().map(Row::parse).forEach(journal.rows::add);
            return journal;
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read or write " + file, e);
        }
    }

    /** The rows of a finished file, whatever machine it is from. */
    static List<Row> read(Path file) {
        try {
            return Files.readAllLines(file).stream()
                    .filter(line -> !line.startsWith("#") && !line.equals(Row.HEADER))
                    .map(Row::parse)
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException("cannot read " + file, e);
        }
    }

    List<Row> rows() {
        return Collections.unmodifiableList(rows);
    }

    boolean holds(String key) {
        return rows.stream().anyMatch(row -> row.key().equals(key));
    }

    /** Adds one line of {@link Row#line}; when this returns it is on the disk. */
    void add(String line) {
        append(line + "\n");
        rows.add(Row.parse(line));
    }

    private void append(String text) {
        try (FileChannel channel =
                FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.WRITE, StandardOpenOption.APPEND)) {
            ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.UTF_8));
            while (bytes.hasRemaining()) {
                channel.write(bytes);
            }
            channel.force(true);
        } catch (IOException e) {
            throw new UncheckedIOException("cannot append to " + file, e);
        }
    }
}
