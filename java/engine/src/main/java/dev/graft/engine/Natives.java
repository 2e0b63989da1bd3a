package dev.graft.engine;

import dev.graft.engine.binding.global.Graft;
import java.io.IOException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Loader;

/**
 * Loads libgraft and what it needs, once. A failure is remembered and told again as the same one-line message: the
 * classes of the binding are touched only through here, so no linkage error reaches a caller.
 */
final class Natives {
    private static final String FOLDER = "/dev/graft/engine/binding/";
    private static final String CUDA = "libgraft_cuda.so";
    private static final Outcome OUTCOME = attempt();
    private static boolean cudaLaid;

    private Natives() {}

    /** What loading came to: no problem, or a one-line message and its cause. */
    private record Outcome(String problem, Throwable cause) {}

    /**
     * Makes the native functions callable.
     *
     * @throws UnavailableException where the libraries for this platform are missing, do not load or are of another build
     */
    static void load() {
        if (OUTCOME.problem != null) {
            throw new UnavailableException(OUTCOME.problem, OUTCOME.cause);
        }
    }

    /**
     * The same, and lays the library of the CUDA column beside libgraft, which looks for it there. One that is not on the class
     * path is missed by libgraft, which says so.
     *
     * @return whether it is on the class path
     * @throws UnavailableException as {@link #load()}, and where the library cannot be unpacked
     */
    static synchronized boolean loadCuda() {
        load();
        URL library = Natives.class.getResource(FOLDER + Loader.getPlatform() + "/" + CUDA);
        if (cudaLaid || library == null) {
            return library != null;
        }
        try {
            Loader.cacheResource(library);
            cudaLaid = true;
            return true;
        } catch (IOException e) {
            throw new UnavailableException(CUDA + " cannot be unpacked: " + e.getMessage(), e);
        }
    }

    private static Outcome attempt() {
        String platform = "this platform";
        try {
            platform = Loader.getPlatform();
            for (String[] library : new String[][] {{FOLDER, "libgraft.so", "graft-native"},
                {"/org/bytedeco/dnnl/", "libdnnl.so.3", "dnnl"}, {FOLDER, "libjniGraft.so", "graft-engine"}}) {
                String path = library[0] + platform + "/" + library[1];
                if (Natives.class.getResource(path) == null) {
                    return new Outcome(missing(platform, path.substring(1), library[2]), null);
                }
            }
            Loader.load(Graft.class);
            BytePointer version = Graft.graft_version();
            return new Outcome(mismatch(version.getString(StandardCharsets.UTF_8), Graft.GRAFT_BUILD), null);
        } catch (LinkageError | RuntimeException e) {
            Throwable root = e;
            while (root.getCause() != null) {
                root = root.getCause();
            }
            // Of a class that is missing the message is only its name.
            String reason = root instanceof UnsatisfiedLinkError ? root.getMessage() : root.toString();
            return new Outcome("native libraries for " + platform + " do not load: "
                    + String.valueOf(reason).lines().findFirst().orElse("no reason given"), e);
        }
    }

    private static String missing(String platform, String library, String artifact) {
        return "no native libraries for " + platform + " (os.name " + System.getProperty("os.name") + ", os.arch "
                + System.getProperty("os.arch") + "): " + library + " of the artifact " + artifact
                + " is not on the class path; Graft is built for linux-x86_64";
    }

    /** The message where natives and jar are not of one build, else null. */
    static String mismatch(String natives, String jar) {
        return natives.equals(jar) ? null
                : "natives of build " + natives + ", jar of build " + jar + ": use graft-engine and graft-native of one build";
    }
}
