package dev.graft.data;

import java.io.Closeable;
import java.io.IOException;
import java.util.Comparator;
import java.util.List;

/** Named files under one root, read whole. Names use '/'; folders end with it. Safe for any number of threads. */
sealed interface FileSource extends Closeable permits FolderSource, ZipSource {
    /** Order of code points, as Python sorts strings. */
    Comparator<String> BY_CODE_POINT = (a, b) -> {
        int n = Math.min(a.length(), b.length());
        for (int i = 0; i < n; i++) {
            char x = a.charAt(i);
            char y = b.charAt(i);
            if (x != y) {
                boolean surrogates = Character.isSurrogate(x) != Character.isSurrogate(y);
                return surrogates ? Boolean.compare(Character.isSurrogate(x), Character.isSurrogate(y)) : x - y;
            }
        }
        return a.length() - b.length();
    };

    /** All files and folders below the root, in no order. */
    List<String> names();

    /** @throws UnreadablePicture if the file is above the limit of bytes */
    byte[] read(String name, Limits limits) throws IOException;

    /** The name in messages. */
    String describe(String name);
}
