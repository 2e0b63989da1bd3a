package dev.graft.report;

/** One part of a report, under its own heading. */
public sealed interface Section permits ResultTable, LearningCurves, ConfusionTable, SampleImages, Notes {
    /** The heading, plain text. */
    String title();
}
