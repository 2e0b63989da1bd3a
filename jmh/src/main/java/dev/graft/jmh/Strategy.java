package dev.graft.jmh;

/** What of ResNet-18 a step trains; the rest is frozen and its norms keep their inference form. */
public enum Strategy {
    /** Everything, norms on batch statistics. */
    FULL(""),
    /** The classifier. */
    HEAD("fc."),
    /** layer4, its norms on batch statistics, and the classifier. */
    LASTBLOCK("layer4.", "fc.");

    private final String[] prefixes;

    Strategy(String... prefixes) {
        this.prefixes = prefixes;
    }

    /** Whether the parameter or statistic of this name belongs to the trained part. */
    boolean trains(String name) {
        for (String prefix : prefixes) {
            if (name.startsWith(prefix)) {
                return true;
            }
        }
        return false;
    }
}
