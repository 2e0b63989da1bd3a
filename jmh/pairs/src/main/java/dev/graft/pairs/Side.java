package dev.graft.pairs;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** One side of a comparison: a program of its own, with its own environment and its own folder for unpacked natives. */
enum Side {
    /** Graft as installed: nothing preloaded, no variable set but the count of threads. */
    GRAFT("jmh", "graft-jmh", "dev.graft.jmh.GraftProcess"),
    /** The PyTorch preset set up by somebody who knows: channels-last, autocast in bf16, tcmalloc preloaded, MKL where a BLAS counts. */
    TUNED("jmh/peers", "graft-peers", "dev.graft.peers.Peer"),
    /** The PyTorch preset as its samples use it. */
    UNTUNED("jmh/peers", "graft-peers", "dev.graft.peers.Peer"),
    /** What the machine allows: the best stand-alone oneDNN primitives, or an in-place scale of the same bytes. */
    CEILING("jmh/target/ceilings", "ceilings", null);

    /** Debian's and Ubuntu's package libtcmalloc-minimal4. */
    static final Path TCMALLOC = Path.of("/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4");

    /** Variables by which a user's shell could change a side behind the measurement's back. */
    private static final List<String> SCRUBBED = List.of(
            "LD_PRELOAD", "OMP_", "GOMP_", "KMP_", "MALLOC_", "GLIBC_TUNABLES", "TCMALLOC_", "ONEDNN_", "DNNL_",
            "OPENBLAS_", "MKL_", "TORCH_", "ATEN_", "GRAFT_", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS");

    private final String folder;
    private final String program;
    private final String main;

    Side(String folder, String program, String main) {
        this.folder = folder;
        this.program = program;
        this.main = main;
    }

    String id() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * The process that carries out {@code request}, not yet started.
     *
     * @param root the repository's root
     * @throws IllegalStateException if the side's program, or what it needs preloaded, is not there
     */
    ProcessBuilder process(Path root, Request request) {
        List<String> command = main == null ? binary(root) : java(root, request.workload());
        command.addAll(request.words());
        ProcessBuilder process = new ProcessBuilder(command).directory(root.toFile());
        Map<String, String> environment = process.environment();
        environment.keySet().removeIf(name -> SCRUBBED.stream().anyMatch(name::startsWith));
        environment.put("OMP_NUM_THREADS", String.valueOf(request.threads()));
        if (this == TUNED) {
            if (!Files.exists(TCMALLOC)) {
                throw new IllegalStateException("the tuned preset needs " + TCMALLOC
                        + ", which is not there: apt-get install libtcmalloc-minimal4, or leave out --sides tuned");
            }
            environment.put("LD_PRELOAD", TCMALLOC.toString());
        }
        return process;
    }

    private List<String> binary(Path root) {
        Path executable = root.resolve(folder).resolve(program);
        if (!Files.isExecutable(executable)) {
            throw new IllegalStateException(id() + " needs " + executable + ", which is not built: use jmh/pairs/run");
        }
        return new ArrayList<>(List.of(executable.toString()));
    }

    private List<String> java(Path root, Workload workload) {
        Path target = root.resolve(folder).resolve("target");
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.add("-Xmx1g");
        if (Runtime.version().feature() >= 24) {
            command.add("--enable-native-access=ALL-UNNAMED");
        }
        // which BLAS it is stands in the folder of unpacked natives as a link, so that each needs its own
        boolean mkl = this == TUNED && workload.needsBlas();
        command.add("-Dorg.bytedeco.javacpp.cachedir=" + root.resolve("jmh/target/natives").resolve(id() + (mkl ? "-mkl" : "")));
        if (mkl) {
            command.add("-Dorg.bytedeco.openblas.load=mkl");
        }
        command.add("-cp");
        command.add(jar(target) + File.pathSeparator + target.resolve("lib") + "/*");
        command.add(main);
        return command;
    }

    private Path jar(Path target) {
        if (Files.isDirectory(target)) {
            try (var files = Files.newDirectoryStream(target, program + "-*.jar")) {
                for (Path file : files) {
                    return file;
                }
            } catch (IOException e) {
                throw new UncheckedIOException("cannot list " + target, e);
            }
        }
        throw new IllegalStateException(
                id() + " needs " + target + "/" + program + "-*.jar, which is not built: use jmh/pairs/run");
    }
}
