package dev.graft.report;

import java.util.Base64;

/** Renders sample pictures, inlined as data URIs. */
final class Samples {
    private Samples() {}

    static void render(Html html, SampleImages section) {
        html.open("ul", "class", "samples");
        for (SampleImages.Image image : section.images()) {
            boolean right = image.truth().equals(image.predicted());
            html.open("li", "class", right ? "right" : "wrong").open("figure");
            html.empty("img", "src", "data:image/png;base64," + Base64.getEncoder().encodeToString(image.png()),
                    "alt", "Picture of class " + image.truth());
            html.open("figcaption").open("span", "class", "verdict").text(right ? "✓ " : "✗ ").name(image.predicted());
            html.text(" " + Math.round(100 * image.probability()) + "\u00a0%").close();
            html.open("small").text("true: ").name(image.truth()).close();
            html.close().close().close();
        }
        html.close();
    }
}
