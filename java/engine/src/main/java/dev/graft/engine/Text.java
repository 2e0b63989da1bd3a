package dev.graft.engine;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Text across the native interface: UTF-8 that ends with a zero. */
final class Text {
    private static final int FIRST_CAPACITY = 1 << 14;

    private Text() {}

    /** A native function that writes text and tells the bytes needed, the final zero included. */
    interface Writer {
        int write(byte[] text, long capacity, long[] needed);
    }

    static String read(Writer writer) {
        byte[] text = new byte[FIRST_CAPACITY];
        long[] needed = new long[1];
        Status.check(writer.write(text, text.length, needed));
        while (needed[0] > text.length) {  // again where the text has grown meanwhile: a profile's times differ from run to run
            text = new byte[Math.toIntExact(needed[0] + needed[0] / 8)];
            Status.check(writer.write(text, text.length, needed));
        }
        int length = 0;
        while (length < text.length && text[length] != 0) {
            length++;
        }
        return new String(text, 0, length, StandardCharsets.UTF_8);
    }

    /** A line of text as JSON has it. */
    static String quoted(String line) {
        StringBuilder json = new StringBuilder("\"");
        for (char c : line.toCharArray()) {
            json.append(c == '"' || c == '\\' ? "\\" : "").append(c < ' ' ? ' ' : c);
        }
        return json.append('"').toString();
    }

    /** A name in direct memory, for calls that must not allocate. */
    static ByteBuffer direct(String name) {
        byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
        ByteBuffer buffer = ByteBuffer.allocateDirect(bytes.length + 1);
        buffer.put(bytes).put((byte) 0).rewind();
        return buffer;
    }
}
