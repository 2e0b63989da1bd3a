package dev.graft.train;

import dev.graft.tune.Stage;

/** Told what happens in a run; cannot change it. Called on the training thread. */
public interface TrainObserver {
    /** Hears nothing. */
    TrainObserver SILENT = new TrainObserver() {
    };

    /** A stage begins: its plan is compiled. */
    default void stage(Stage stage, String memory) {
    }

    /** A pass of which the parts are counted goes on: features of the frozen prefix, or validation. */
    default void pass(String what, int done, int total) {
    }

    /** A step is done. {@code epoch} from 1, {@code step} from 1 to {@code steps}. */
    default void step(int epoch, int step, int steps, double loss, double rate) {
    }

    /** An epoch is done. */
    default void epoch(EpochRecord record) {
    }

    /** Something the user should know. */
    default void warning(String message) {
    }
}
