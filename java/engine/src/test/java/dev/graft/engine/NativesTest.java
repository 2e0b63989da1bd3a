package dev.graft.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.graft.engine.binding.global.Graft;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a user sees where the native libraries cannot be had or are of another build: each case in a JVM of its own, asked twice. */
class NativesTest {
    @TempDir
    Path folder;

    /** Opens a device twice and prints what came of it. */
    static final class Probe {
        private Probe() {}

        public static void main(String[] args) {
            for (int i = 0; i < 2; i++) {
                try (Device device = Device.open("reference", 1, 1)) {
                    System.out.println("opened " + device.column());
                } catch (UnavailableException e) {
                    System.out.println(e.getMessage());
                }
            }
        }
    }

    @Test
    void librariesLoadOverAnEmptyCache() throws Exception {
        assertEquals(List.of("opened reference", "opened reference"), probe(path -> true));
    }

    @Test
    void anotherPlatformIsOneLineEveryTime() throws Exception {
        List<String> lines = probe(path -> true, "-Dorg.bytedeco.javacpp.platform=linux-arm64");
        assertEquals(2, lines.size(), lines.toString());
        assertEquals(lines.get(0), lines.get(1));
        assertTrue(lines.get(0).startsWith("no native libraries for linux-arm64 (os.name "), lines.get(0));
    }

    @Test
    void aMissingOneDnnJarIsNamed() throws Exception {
        List<String> lines = probe(path -> !path.contains("dnnl"));
        assertEquals(2, lines.size(), lines.toString());
        assertEquals(lines.get(0), lines.get(1));
        assertTrue(lines.get(0).contains("libdnnl.so.3 of the artifact dnnl is not on the class path"), lines.get(0));
    }

    @Test
    void aMissingJavaCppJarIsNamed() throws Exception {
        List<String> lines = probe(path -> !path.contains("javacpp"));
        assertEquals(2, lines.size(), lines.toString());
        assertTrue(lines.get(0).contains("org.bytedeco.javacpp"), lines.get(0));
    }

    @Test
    void aLibraryOfOtherSourcesIsRefused() throws Exception {
        String name = "dev/graft/engine/binding/linux-x86_64/libgraft.so";
        byte[] library;
        try (InputStream in = NativesTest.class.getResourceAsStream("/" + name)) {
            library = in.readAllBytes();
        }
        // the same library as one of other sources would be: only the hash that it tells is another
        String build = Graft.GRAFT_BUILD;
        String other = build.replaceFirst("[+].*", "+" + "0".repeat(build.length() - build.indexOf('+') - 1));
        String text = new String(library, StandardCharsets.ISO_8859_1);
        assertTrue(text.contains(build), "the library does not hold " + build);
        Path changed = folder.resolve("other").resolve(name);
        Files.createDirectories(changed.getParent());
        Files.write(changed, text.replace(build, other).getBytes(StandardCharsets.ISO_8859_1));
        String line = "natives of build " + other + ", jar of build " + build + ": use graft-engine and graft-native of one build";
        assertEquals(List.of(line, line), probe(List.of(folder.resolve("other").toString()), path -> true));
    }

    private List<String> probe(java.util.function.Predicate<String> keep, String... options)
            throws IOException, InterruptedException {
        return probe(List.of(), keep, options);
    }

    // With these folders first in the class path.
    private List<String> probe(List<String> first, java.util.function.Predicate<String> keep, String... options)
            throws IOException, InterruptedException {
        String path = Stream.concat(first.stream(),
                Arrays.stream(System.getProperty("java.class.path").split(java.io.File.pathSeparator)).filter(keep))
                .collect(Collectors.joining(java.io.File.pathSeparator));
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Dorg.bytedeco.javacpp.cachedir=" + folder));
        command.addAll(List.of(options));
        command.addAll(List.of("-cp", path, Probe.class.getName()));
        Process process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD).start();
        try (InputStream out = process.getInputStream()) {
            List<String> lines = new String(out.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
            assertEquals(0, process.waitFor(), "exit status; printed " + lines);
            return lines;
        }
    }
}
