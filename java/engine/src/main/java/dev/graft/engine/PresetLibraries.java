package dev.graft.engine;

import java.io.File;
import java.io.IOException;
import java.net.URL;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.bytedeco.javacpp.ClassProperties;
import org.bytedeco.javacpp.Loader;

/**
 * NVIDIA's libraries by way of the CUDA presets for JavaCPP ({@code org.bytedeco:cuda}), where those are on the class path: cuBLAS and
 * cuDNN are loaded as the presets name them, before the CUDA column looks for them, which takes by soname what the process has. So
 * the column and code that calls the presets share one version. They come from the jars (the presets' redistributable ones) and
 * JavaCPP's paths, the toolkit's folder among them, then from {@code GRAFT_LIBRARY_PATH}, {@code java.library.path},
 * {@code CUDA_HOME} and the folders of Python wheels; {@code org.bytedeco.javacpp.pathsFirst} puts paths before jars. Nothing of
 * the presets is linked or initialised.
 */
final class PresetLibraries {
    private static final String PRESET = "org.bytedeco.cuda.presets.cudnn"; // inherits what cuBLAS's preset names
    private static final List<Family> FAMILIES = List.of(new Family("cuBLAS", "cublas", "cublasLt", Set.of("12", "13")),
            new Family("cuDNN", "cudnn", "cudnn", Set.of("9")));
    private static String outcome;

    private PresetLibraries() {}

    /** Libraries whose names begin alike; without the main one the others are of no use. */
    private record Family(String title, String begin, String main, Set<String> versions) {}

    /** Loads what there is, once. Fails never: returns one line that says what came of it. */
    static synchronized String load() {
        if (outcome == null) {
            outcome = attempt();
        }
        return outcome;
    }

    private static String attempt() {
        Class<?> preset;
        try {
            preset = Class.forName(PRESET, false, PresetLibraries.class.getClassLoader());
        } catch (ClassNotFoundException e) {
            return "org.bytedeco:cuda is not on the class path; the natives look for NVIDIA's libraries themselves";
        } catch (LinkageError e) {
            return "org.bytedeco:cuda on the class path cannot be used: " + line(e);
        }
        try {
            ClassProperties properties = Loader.loadProperties(preset, Loader.loadProperties(), true);
            properties.get("platform.preloadpath").addAll(folders());
            List<String> said = new ArrayList<>();
            for (Family family : FAMILIES) {
                said.add(load(family, preset, properties));
            }
            return "org.bytedeco:cuda " + version(preset) + ": " + String.join("; ", said);
        } catch (LinkageError | RuntimeException e) {
            return "org.bytedeco:cuda on the class path cannot be used: " + line(e);
        }
    }

    private static String load(Family family, Class<?> preset, ClassProperties properties) {
        List<String> names = properties.get("platform.link").stream().filter(n -> n.startsWith(family.begin)).toList();
        String main = names.stream().filter(n -> n.startsWith(family.main + "@")).findFirst().orElse(null);
        if (main == null) {
            return family.title + " is not among its libraries";
        }
        String version = main.substring(main.indexOf('@') + 1).replaceFirst("^[.]", "");
        if (!family.versions.contains(version)) {
            return "it is for " + family.title + " " + version + ", but " + String.join(" or ", family.versions.stream().sorted().toList())
                    + " is needed; it is left alone";
        }
        String path = null;
        for (String name : names) {
            URL[] urls = Loader.findLibrary(preset, properties, name);
            if (urls.length == 0) {
                if (name.equals(main)) {
                    return family.title + " " + version + " is not found: not in the jars, JavaCPP's paths, GRAFT_LIBRARY_PATH, java.library.path,"
                            + " CUDA_HOME or a wheel's folder";
                }
                continue;
            }
            try {
                String loaded = Loader.loadLibrary(preset, urls, name);
                path = name.equals(main) ? loaded : path;
            } catch (UnsatisfiedLinkError e) {
                if (name.equals(main)) {
                    return family.title + " " + version + " does not load: " + line(e);
                }
            }
        }
        return family.title + " " + version + " is loaded from " + path;
    }

    private static String version(Class<?> preset) {
        try {
            return Loader.getVersion("org.bytedeco", "cuda", preset);
        } catch (IOException e) {
            return "(version unknown)";
        }
    }

    // Of the cause at the root: what JavaCPP tries last says nothing of the file that failed.
    private static String line(Throwable failure) {
        Throwable root = failure;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        String message = root.getMessage();
        return message == null ? root.getClass().getSimpleName() : message.lines().findFirst().orElse("no reason given").strip();
    }

    /** Folders beyond JavaCPP's own that may hold the libraries, those that exist. */
    private static List<String> folders() {
        List<Path> folders = new ArrayList<>();
        for (String list : new String[] {System.getenv("GRAFT_LIBRARY_PATH"), System.getProperty("java.library.path")}) {
            for (String folder : list == null ? new String[0] : list.split(File.pathSeparator)) {
                if (!folder.isEmpty()) {
                    folders.add(Path.of(folder));
                }
            }
        }
        String home = System.getenv("CUDA_HOME");
        if (home != null && !home.isEmpty()) {
            folders.add(Path.of(home, "lib64"));
            folders.add(Path.of(home, "lib"));
        }
        for (Path packages : sitePackages()) {
            for (String wheel : new String[] {"cu13/lib", "cublas/lib", "cudnn/lib"}) {
                folders.add(packages.resolve("nvidia").resolve(wheel));
            }
        }
        return folders.stream().filter(Files::isDirectory).map(Path::toString).toList();
    }

    private static List<Path> sitePackages() {
        List<Path> found = new ArrayList<>();
        List<Path> roots = new ArrayList<>();
        for (String variable : new String[] {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
            String root = System.getenv(variable);
            if (root != null && !root.isEmpty()) {
                roots.add(Path.of(root));
            }
        }
        roots.add(Path.of(System.getProperty("user.home"), ".local"));
        roots.add(Path.of("/usr/local"));
        roots.add(Path.of("/opt/conda"));
        for (Path root : roots) {
            try (DirectoryStream<Path> pythons = Files.newDirectoryStream(root.resolve("lib"), "python3*")) {
                for (Path python : pythons) {
                    found.add(python.resolve("site-packages"));
                    found.add(python.resolve("dist-packages"));
                }
            } catch (IOException e) {
                continue; // there is no such folder
            }
        }
        found.add(Path.of("/usr/lib/python3/dist-packages"));
        return found;
    }
}
