package dev.graft.report;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Base64;
import java.util.Properties;

/** The frame of a report: head, styles, scripts, and the sections in order. */
final class Page {
    private static final String UPLOT = "/META-INF/resources/webjars/uplot/" + uplotVersion() + "/";

    private Page() {}

    static String of(Report report) {
        boolean charts = report.sections().stream().anyMatch(LearningCurves.class::isInstance);
        String library = charts ? resource(UPLOT + "dist/uPlot.iife.min.js") : "";
        String script = charts ? resource("report.js") : "";
        Html html = new Html();
        html.raw("<!DOCTYPE html>\n").open("html", "lang", "en").open("head");
        html.empty("meta", "charset", "utf-8");
        html.empty("meta", "http-equiv", "Content-Security-Policy", "content", policy(library, script));
        html.empty("meta", "name", "viewport", "content", "width=device-width, initial-scale=1");
        html.empty("meta", "name", "color-scheme", "content", "light dark");
        html.element("title", report.title());
        html.open("style").raw(charts ? resource(UPLOT + "dist/uPlot.min.css") : "").raw(resource("report.css")).close();
        html.close().open("body").open("main");
        html.open("header").open("h1").name(report.title()).close();
        html.open("p", "class", "lead").name(report.lead()).close().close();
        int number = 0;
        for (Section section : report.sections()) {
            String id = "section-" + number++;
            html.raw("\n").open("section", "aria-labelledby", id);
            html.open("h2", "id", id).name(section.title()).close();
            render(html, section);
            html.close();
        }
        html.close();
        if (charts) {
            html.raw("\n<!-- uPlot\n" + resource(UPLOT + "LICENSE") + "-->\n");
            html.open("script").raw(library).close().raw("\n");
            html.open("script").raw(script).close();
        }
        return html.close().close().raw("\n").toString();
    }

    private static void render(Html html, Section section) {
        if (section instanceof ResultTable results) {
            Results.render(html, results);
        } else if (section instanceof LearningCurves curves) {
            Curves.render(html, curves);
        } else if (section instanceof ConfusionTable confusion) {
            Confusion.render(html, confusion);
        } else if (section instanceof SampleImages samples) {
            Samples.render(html, samples);
        } else if (section instanceof Notes notes) {
            notes.paragraphs().forEach(p -> html.open("p").name(p).close());
        }
    }

    /** Nothing is fetched and no script runs but these two, whatever a class name may smuggle in. */
    private static String policy(String... scripts) {
        StringBuilder sources = new StringBuilder();
        for (String script : scripts) {
            if (!script.isEmpty()) {
                sources.append(" 'sha256-").append(sha256(script)).append('\'');
            }
        }
        return "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; script-src"
                + (sources.isEmpty() ? " 'none'" : sources.toString());
    }

    private static String sha256(String text) {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
            return Base64.getEncoder().encodeToString(digest);
        } catch (NoSuchAlgorithmException e) {
            throw new AssertionError("every Java platform has SHA-256", e);
        }
    }

    /** The version in the library's path is the dependency's, read from the jar so that it is written in the pom only. */
    private static String uplotVersion() {
        String path = "/META-INF/maven/org.webjars.npm/uplot/pom.properties";
        Properties properties = new Properties();
        try (InputStream in = open(path)) {
            properties.load(in);
        } catch (IOException e) {
            throw new UncheckedIOException("resource " + path + " cannot be read", e);
        }
        return properties.getProperty("version");
    }

    private static String resource(String path) {
        try (InputStream in = open(path)) {
            // browsers hash scripts after turning line ends into \n
            return new String(in.readAllBytes(), StandardCharsets.UTF_8).replace("\r\n", "\n");
        } catch (IOException e) {
            throw new UncheckedIOException("resource " + path + " cannot be read", e);
        }
    }

    private static InputStream open(String path) {
        InputStream in = Page.class.getResourceAsStream(path);
        if (in == null) {
            throw new IllegalStateException("resource " + path + " is missing: the class path lacks org.webjars.npm:uplot");
        }
        return in;
    }
}
