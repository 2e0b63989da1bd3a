package dev.graft.report;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.graft.evaluate.ConfusionMatrix;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {
    private static final String EVIL = "</script></title><img src=\"http://evil.example/x\" onerror='alert(1)'>&amp;";
    /** One transparent pixel. */
    private static final byte[] PNG = Base64.getDecoder().decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==");

    @Test
    void pageRefersToNothingOutsideItself() {
        String page = everySection("plain").html();
        Matcher references = Pattern.compile("(?:\\s(?:src|href|srcset|poster|data|action|formaction|xlink:href)\\s*=\\s*|url\\(\\s*"
                + "|@import\\s*)[\"']?([^\"'\\s>)]*)", Pattern.CASE_INSENSITIVE).matcher(withoutScripts(page));
        int found = 0;
        while (references.find()) {
            found++;
            assertTrue(references.group(1).startsWith("data:image/png;base64,"), references.group());
        }
        assertEquals(1, found, "the one sample picture");
        assertFalse(Pattern.compile("https?://|<link|<iframe|<object|<base\\b").matcher(withoutScripts(page)).find());
        assertFalse(Pattern.compile("\\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|importScripts|sendBeacon)\\b|\\bimport\\s*\\(")
                .matcher(page).find(), "no script asks for anything");
        assertTrue(page.contains("content=\"default-src &#39;none&#39;; img-src data:;"), "and the policy forbids it");
    }

    @Test
    void policyAllowsExactlyTheScriptsOfThePage() throws Exception {
        String page = everySection("plain").html();
        Matcher policy = Pattern.compile("script-src([^\"]*)\"").matcher(page);
        assertTrue(policy.find());
        StringBuilder hashes = new StringBuilder();
        Matcher scripts = Pattern.compile("<script>(.*?)</script>", Pattern.DOTALL).matcher(page);
        while (scripts.find()) {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(scripts.group(1).getBytes(StandardCharsets.UTF_8));
            hashes.append(" &#39;sha256-").append(Base64.getEncoder().encodeToString(digest)).append("&#39;");
        }
        assertEquals(hashes.toString(), policy.group(1));
        String plain = new Report("t", "l", List.of(new Notes("n", List.of()))).html();
        assertTrue(plain.contains("script-src &#39;none&#39;\"") && !plain.contains("<script"), "no chart, no script");
    }

    @Test
    void everyTextIsEscaped() {
        String page = everySection(EVIL).html();
        assertFalse(page.contains("<img src=\"http"), "no element from a name");
        String markup = withoutScripts(page);
        assertFalse(markup.contains("'alert") || markup.contains("\"http://evil"), "no attribute from a name");
        assertEquals(1, count(page, "</title>"));
        assertEquals(count(page, "<script"), count(page, "</script>"));
        String escaped = "&lt;/script&gt;&lt;/title&gt;&lt;img src=&quot;http://evil.example/x&quot; onerror=&#39;alert(1)&#39;&gt;&amp;amp;";
        // title element, h1, lead; 5 headings; strategy in 3 rows; measure; 2 x 2 class names; sample (alt and 2); note
        assertEquals(3 + 5 + 3 + 1 + 4 + 3 + 1, count(page, escaped));
        assertEquals(EVIL, charts(page).at("/strategies/0/name").textValue());
    }

    @Test
    void figuresOfThePageEqualTheInput() {
        Locale before = Locale.getDefault();
        Locale.setDefault(Locale.GERMANY);
        try {
            String page = everySection("full").html();
            // 0.80, 0.85, 0.90: mean 85, deviation 5, half width t(0.975, 2) * 5 / sqrt(3) = 4.302653 * 2.886751 = 12.42
            assertTrue(page.contains(">85.00</td><td class=\"number\">72.58 – 97.42</td><td class=\"number\">3</td>"), page);
            assertTrue(page.contains(">1,234<small> 12.3 %</small></td>"));
            assertTrue(page.contains(">2.50</td><td class=\"number\">3.5</td></tr>"), "seconds and MiB");
            JsonNode data = charts(page);
            assertEquals("[0,1,2]", data.get("epochs").toString());
            assertEquals("[0.1,0.5,null]", data.at("/strategies/0/seeds/0/values").toString());
            assertEquals("[0.3,0.7,0.9]", data.at("/strategies/0/seeds/1/values").toString());
            assertArrayEquals(new double[] {.2, .6},
                    IntStream.range(0, 2).mapToDouble(i -> data.at("/strategies/0/mean/" + i).doubleValue()).toArray(), 1e-15);
            assertTrue(data.at("/strategies/0/mean/2").isNull(), "a mean of the runs that went on would jump");
            assertTrue(page.contains("<td class=\"number\">0</td><td class=\"number\">0.1000</td><td class=\"number\">0.5000</td>"
                    + "<td class=\"number\">NaN</td>"), "the table says what the chart leaves out");
            assertTrue(page.contains("15 of 20 right, 75.00 %."));
            assertTrue(page.contains("style=\"--share:0.700\">7</td>") && page.contains("style=\"--share:0.300\">3</td>"));
            assertTrue(page.contains(Base64.getEncoder().encodeToString(PNG)) && page.contains(" 88\u00a0%"));
        } finally {
            Locale.setDefault(before);
        }
    }

    @Test
    void manyClassesAreShownByTheirMostFrequentConfusions() {
        int k = 200;
        long[][] counts = new long[k][k];
        for (int c = 0; c < k; c++) {
            counts[c][c] = 1000;
            counts[c][(c + 1) % k] = c;
        }
        List<String> names = IntStream.range(0, k).mapToObj(c -> "c" + c).toList();
        String page = new Report("t", "l", List.of(new ConfusionTable("m", names, new ConfusionMatrix(counts)))).html();
        assertTrue(page.contains("<td><bdi>c199</bdi></td><td><bdi>c0</bdi></td><td class=\"number\">199</td>"));
        assertTrue(page.contains("<bdi>c175</bdi>") && !page.contains("<bdi>c174</bdi>"), "25 rows");
    }

    @Test
    void fileIsReplacedWholeOrNotAtAll(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("report.html");
        Files.writeString(file, "old");
        Report report = everySection("full");
        report.write(file);
        assertEquals(report.html(), Files.readString(file));
        try (var files = Files.list(folder)) {
            assertEquals(List.of(file), files.toList(), "nothing is left beside it");
        }
        Path missing = folder.resolve("absent").resolve("report.html");
        String message = assertThrows(UncheckedIOException.class, () -> report.write(missing)).getMessage();
        assertTrue(message.startsWith("cannot write " + missing), message);
    }

    @Test
    void badInputIsNamed() {
        refused("strategy 'full' has no accuracies", () -> new ResultTable.Row("full", 1, 1, List.of(), 0, null));
        refused("strategy 'full': accuracy 85.0 is not between 0 and 1",
                () -> new ResultTable.Row("full", 1, 1, List.of(85.), 0, null));
        refused("strategy 'full': 2 trainable parameters of 1", () -> new ResultTable.Row("full", 2, 1, List.of(.5), 0, null));
        refused("result table 'r' has no rows", () -> new ResultTable("r", List.of()));
        refused("learning curves 'c' have no curves", () -> new LearningCurves("c", "loss", false, List.of()));
        refused("the curve of strategy 'full', seed 3 is empty", () -> new LearningCurves.Curve("full", 3, new TreeMap<>()));
        refused("confusion table 'm' has 1 class names for 2 classes",
                () -> new ConfusionTable("m", List.of("a"), new ConfusionMatrix(new long[][] {{1, 0}, {0, 1}})));
        refused("sample of class 'a' is not a PNG file: it lacks the signature",
                () -> new SampleImages.Image(new byte[] {1, 2}, "a", "b", .5));
        refused("sample of class 'a': probability 1.5 is not between 0 and 1",
                () -> new SampleImages.Image(PNG, "a", "b", 1.5));
    }

    private static Report everySection(String text) {
        var first = new TreeMap<Integer, Double>();
        first.put(0, .1);
        first.put(1, .5);
        first.put(2, Double.NaN);
        var second = new TreeMap<Integer, Double>();
        second.put(0, .3);
        second.put(1, .7);
        second.put(2, .9);
        return new Report(text, text, List.of(
                new ResultTable(text, List.of(new ResultTable.Row(text, 1234, 10000, List.of(.8, .85, .9), 2.5, 7L << 19))),
                new LearningCurves(text, text, false,
                        List.of(new LearningCurves.Curve(text, 0, first), new LearningCurves.Curve(text, 1, second))),
                new ConfusionTable(text, List.of(text, text), new ConfusionMatrix(new long[][] {{7, 3}, {2, 8}})),
                new SampleImages(text, List.of(new SampleImages.Image(PNG, text, text, .876))),
                new Notes(text, List.of(text))));
    }

    private static String withoutScripts(String page) {
        return page.replaceAll("(?s)<script.*?</script>", "");
    }

    private static JsonNode charts(String page) {
        Matcher data = Pattern.compile("<script type=\"application/json\">(.*?)</script>", Pattern.DOTALL).matcher(page);
        assertTrue(data.find());
        try {
            return new ObjectMapper().readTree(data.group(1));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static int count(String text, String part) {
        return text.split(Pattern.quote(part), -1).length - 1;
    }

    private static void refused(String message, Executable call) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, call).getMessage());
    }
}
