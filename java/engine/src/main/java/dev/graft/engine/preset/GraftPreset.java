package dev.graft.engine.preset;

import org.bytedeco.javacpp.annotation.Platform;
import org.bytedeco.javacpp.annotation.Properties;
import org.bytedeco.javacpp.tools.Info;
import org.bytedeco.javacpp.tools.InfoMap;
import org.bytedeco.javacpp.tools.InfoMapper;

/**
 * How JavaCPP maps {@code graft.h}. Not part of the public interface: only {@code dev.graft.engine} uses what is
 * generated from it.
 *
 * <p>libgomp and libdnnl are loaded before libgraft, from the class path, so that one OpenMP runtime serves all of them.
 * Calls that may happen in every step are declared here by hand: they take direct buffers and addresses as they are and
 * leave no Java object behind.
 */
@Properties(
        value = @Platform(
                value = "linux-x86_64",
                compiler = "cpp17",
                define = "STRING_BYTES_CHARSET \"UTF-8\"",
                include = {"graft_build.h", "graft.h"},
                preload = {"gomp@.1", "dnnl@.3"},
                preloadresource = "/org/bytedeco/dnnl/",
                link = "graft"),
        target = "dev.graft.engine.binding",
        global = "dev.graft.engine.binding.global.Graft")
public class GraftPreset implements InfoMapper {
    @Override
    public void map(InfoMap map) {
        map.put(new Info("GRAFT_API").cppTypes().annotations());
        map.put(new Info("graft_session_numbers").javaText(
                "public static native int graft_session_numbers(graft_session session, String name,"
                        + " @Cast(\"void**\") @ByPtrPtr BytePointer address, @Cast(\"int64_t*\") long[] bytes);\n"));
        map.put(new Info("graft_session_turn").javaText(
                "public static native int graft_session_turn(graft_session session, int phases,"
                        + " @Cast(\"const char*\") ByteBuffer inputs, @Cast(\"const int64_t*\") LongBuffer addresses,"
                        + " @Cast(\"const int64_t*\") LongBuffer bytes, int count);\n"));
        map.put(new Info("graft_session_write").javaText(transfer("graft_session_write")));
        map.put(new Info("graft_session_read").javaText(transfer("graft_session_read")));
    }

    /** Declares a function (session, name, address, bytes) for an address and for direct buffers. */
    private static String transfer(String function) {
        StringBuilder text = new StringBuilder();
        for (String memory : new String[] {"long", "ByteBuffer", "FloatBuffer", "IntBuffer", "LongBuffer"}) {
            text.append("public static native int ").append(function)
                    .append("(graft_session session, @Cast(\"const char*\") ByteBuffer name, ")
                    .append(memory.equals("long") ? "" : "@Cast(\"int64_t\") ").append(memory)
                    .append(" address, long bytes);\n");
        }
        return text.toString();
    }
}
