package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the CUDA presets load, and what is said where they, or the libraries, are missing, damaged or of another version: each case in
 * a JVM of its own, which has to live. Another library in the place of NVIDIA's tells who was loaded.
 */
class PresetLibrariesTest {
    private static final String CUBLAS = "libcublasLt.so.13";
    private static final Predicate<String> ALL = path -> true;

    @TempDir
    Path folder;
    private Path libraries;

    /** Prints what was said, then the files that the process has mapped. */
    static final class Probe {
        private Probe() {}

        public static void main(String[] args) throws IOException {
            System.out.println(PresetLibraries.load());
            System.out.println(PresetLibraries.load());
            Files.lines(Path.of("/proc/self/maps")).map(l -> l.replaceFirst(".*? (?=/|$)", "")).distinct().forEach(System.out::println);
        }
    }

    @BeforeEach
    void makeFolder() throws IOException {
        libraries = Files.createDirectories(folder.resolve("libraries"));
    }

    @Test
    void withoutThePresetsTheNativesSearch() throws Exception {
        assertEquals("org.bytedeco:cuda is not on the class path; the natives look for NVIDIA's libraries themselves",
                said(probe(path -> !path.matches(".*[/\\\\]cuda-[^/\\\\]*jar"), List.of())));
    }

    @Test
    void missingLibrariesAreToldWithWhereTheyWereSought() throws Exception {
        String line = said(probe(ALL, List.of()));
        assumeFalse(line.contains("is loaded from"), "this machine has NVIDIA's libraries");
        assertTrue(line.matches("org.bytedeco:cuda 13[.]\\S+: cuBLAS 13 is not found: not in the jars, JavaCPP's paths, GRAFT_LIBRARY_PATH,"
                + " java.library.path, CUDA_HOME or a wheel's folder; cuDNN 9 is not found: .*"), line);
    }

    @Test
    void aNamedFolderServes() throws Exception {
        put(libraries.resolve(CUBLAS));
        put(libraries.resolve("libcudnn.so.9"));
        put(libraries.resolve("libcudnn_ops.so.9"));
        List<String> lines = probe(ALL, List.of());
        assertTrue(said(lines).endsWith(": cuBLAS 13 is loaded from " + libraries.resolve(CUBLAS) + "; cuDNN 9 is loaded from "
                + libraries.resolve("libcudnn.so.9")), said(lines));
        for (String name : List.of(CUBLAS, "libcudnn.so.9", "libcudnn_ops.so.9")) {
            assertTrue(lines.contains(libraries.resolve(name).toString()), name + " is not mapped: " + lines);
        }
    }

    @Test
    void aWheelsFolderServes() throws Exception {
        Path wheel = Files.createDirectories(folder.resolve("venv/lib/python3.12/site-packages/nvidia/cu13/lib"));
        put(wheel.resolve(CUBLAS));
        assertTrue(said(probe(ALL, List.of())).contains("cuBLAS 13 is loaded from " + wheel.resolve(CUBLAS)));
    }

    @Test
    void jarsComeBeforePathsUnlessPathsAreFirst() throws Exception {
        put(libraries.resolve(CUBLAS));
        Path jar = folder.resolve("jar");
        put(Files.createDirectories(jar.resolve("org/bytedeco/cuda/linux-x86_64")).resolve(CUBLAS));
        assertTrue(said(probe(ALL, List.of(jar.toString()))).contains("cuBLAS 13 is loaded from " + jar));
        assertTrue(said(probe(ALL, List.of(jar.toString()), "-Dorg.bytedeco.javacpp.pathsFirst=true"))
                .contains("cuBLAS 13 is loaded from " + libraries.resolve(CUBLAS)));
    }

    @Test
    void aDamagedLibraryIsOneLine() throws Exception {
        Files.writeString(libraries.resolve(CUBLAS), "no library");
        put(libraries.resolve("libcudnn.so.9"));
        String line = said(probe(ALL, List.of()));
        assertTrue(line.contains("cuBLAS 13 does not load: " + libraries.resolve(CUBLAS)) && line.contains("; cuDNN 9 is loaded from "), line);
    }

    @Test
    void presetsOfOtherVersionsAreLeftAlone() throws Exception {
        put(libraries.resolve("libcublasLt.so.11"));
        put(libraries.resolve("libcudnn.so.8"));
        List<String> lines = probe(ALL, List.of(preset("11", "8")));
        assertTrue(said(lines).endsWith("it is for cuBLAS 11, but 12 or 13 is needed; it is left alone; it is for cuDNN 8, but 9 is needed; it is left alone"),
                said(lines));
        assertTrue(lines.stream().noneMatch(l -> l.startsWith(libraries.toString())), lines.toString());
        put(libraries.resolve("libcublasLt.so.12"));
        assertTrue(said(probe(ALL, List.of(preset("12", "8")))).contains("cuBLAS 12 is loaded from " + libraries));
    }

    @Test
    void presetsThatAreBrokenAreOneLine() throws Exception {
        Path broken = Files.createDirectories(folder.resolve("broken/org/bytedeco/cuda/presets")).resolve("cudnn.class");
        Files.writeString(broken, "no class");
        String line = said(probe(ALL, List.of(folder.resolve("broken").toString())));
        assertTrue(line.startsWith("org.bytedeco:cuda on the class path cannot be used: "), line);
    }

    /** A folder with presets that name libraries of these versions. */
    private String preset(String cublas, String cudnn) throws IOException {
        Path sources = Files.createDirectories(folder.resolve("source" + cublas));
        Path file = sources.resolve("cudnn.java");
        Files.writeString(file, "package org.bytedeco.cuda.presets;\nimport org.bytedeco.javacpp.annotation.*;\n"
                + "@Properties(@Platform(link = {\"cublasLt@." + cublas + "\", \"cublas@." + cublas + "\", \"cudnn@." + cudnn + "\"}))\n"
                + "public class cudnn {}\n");
        Path classes = Files.createDirectories(folder.resolve("preset" + cublas));
        assertEquals(0, ToolProvider.getSystemJavaCompiler().run(null, null, null, "-d", classes.toString(),
                "-cp", System.getProperty("java.class.path"), file.toString()));
        return classes.toString();
    }

    /** A library that loads and needs nothing. */
    private static void put(Path file) throws IOException {
        try (InputStream library = PresetLibrariesTest.class.getResourceAsStream("/org/bytedeco/dnnl/linux-x86_64/libgomp.so.1")) {
            Files.copy(library, file);
        }
    }

    private static String said(List<String> lines) {
        assertEquals(lines.get(0), lines.get(1), "another answer the second time");
        return lines.get(0);
    }

    // With these folders first in the class path.
    private List<String> probe(Predicate<String> keep, List<String> first, String... options) throws IOException, InterruptedException {
        String path = Stream.concat(first.stream(), Arrays.stream(System.getProperty("java.class.path").split(":")).filter(keep))
                .collect(Collectors.joining(":"));
        List<String> command = new ArrayList<>(List.of(Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dorg.bytedeco.javacpp.cachedir=" + folder.resolve("cache")));
        command.addAll(List.of(options));
        command.addAll(List.of("-cp", path, Probe.class.getName()));
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().put("GRAFT_LIBRARY_PATH", libraries.toString());
        builder.environment().put("VIRTUAL_ENV", folder.resolve("venv").toString());
        Process process = builder.start();
        try (InputStream out = process.getInputStream()) {
            List<String> lines = new String(out.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
            assertEquals(0, process.waitFor(), "exit status; printed " + lines);
            return lines;
        }
    }
}
