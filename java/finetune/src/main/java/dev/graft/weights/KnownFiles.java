package dev.graft.weights;

import com.fasterxml.jackson.databind.JsonNode;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The table of published checkpoints whose preprocessing is known: found by size and SHA-256 of the file, or by the eight hex
 * digits that torchvision puts into file names ({@code resnet18-f37072fd.pth}). The table is the resource
 * {@code known-files.json}, written by {@code make_known_files.py}.
 */
public final class KnownFiles {
    /**
     * A known checkpoint.
     *
     * @param name  its published file name
     * @param model name of its network
     * @param card  the preprocessing it was measured with; its origin says how the file was recognised
     */
    public record KnownFile(String name, String model, Card card) {
    }

    private record Row(String name, String model, String sha256, long bytes, String nameHash, Card card) {
    }

    private static final Pattern HASH_IN_NAME = Pattern.compile("-([0-9a-f]{8})\\.[^.]+$");
    private static final List<Row> ROWS = rows();
    private static final int BLOCK = 1 << 20;

    private KnownFiles() {
    }

    /** The known checkpoint that this file is, or null. Reads the file only if its size is that of a known one. */
    public static KnownFile find(Path file) {
        String sha256 = null;
        try (FileBytes bytes = FileBytes.open(file)) {
            for (Row row : ROWS) {
                if (row.bytes() == bytes.size()) {
                    sha256 = sha256 == null ? sha256(bytes) : sha256;
                    if (sha256.equals(row.sha256())) {
                        return known(row, "known file " + row.name() + " (SHA-256)");
                    }
                }
            }
        }
        Matcher hash = HASH_IN_NAME.matcher(file.getFileName().toString());
        if (hash.find()) {
            for (Row row : ROWS) {
                if (row.nameHash().equals(hash.group(1))) {
                    return known(row, "known file " + row.name() + " (hash in the file name)");
                }
            }
        }
        return null;
    }

    /** SHA-256 of a file in hex digits. */
    public static String sha256(Path file) {
        try (FileBytes bytes = FileBytes.open(file)) {
            return sha256(bytes);
        }
    }

    private static String sha256(FileBytes file) {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
        ByteBuffer block = ByteBuffer.allocate(BLOCK);
        for (long at = 0; at < file.size(); at += block.limit()) {
            block.clear().limit((int) Math.min(BLOCK, file.size() - at));
            file.read(at, block);
            digest.update(block.flip());
        }
        return HexFormat.of().formatHex(digest.digest());
    }

    private static KnownFile known(Row row, String origin) {
        Card c = row.card();
        return new KnownFile(row.name(), row.model(),
                new Card(c.resize(), c.crop(), c.mean(), c.std(), c.interpolation(), c.channels(), origin));
    }

    private static List<Row> rows() {
        JsonNode table;
        try (InputStream in = KnownFiles.class.getResourceAsStream("known-files.json")) {
            if (in == null) {
                throw new IllegalStateException("the resource known-files.json is missing from the jar");
            }
            table = StrictJson.MAPPER.readTree(in);
        } catch (IOException e) {
            throw new UncheckedIOException("known-files.json", e);
        }
        List<Row> rows = new ArrayList<>();
        for (JsonNode row : table) {
            String name = row.get("name").textValue();
            rows.add(new Row(name, row.get("model").textValue(), row.path("sha256").asText(""), row.path("bytes").asLong(-1),
                    row.path("name_hash").asText(""), CardKeys.parse(row.get("card").toString(), name).card(name)));
        }
        return List.copyOf(rows);
    }
}
