package dev.graft.engine;

import java.nio.file.Path;
import java.util.List;
import java.util.Objects;

/**
 * A parameter that a plan trains.
 *
 * @param name name of the parameter
 * @param group its rate group, from 0
 * @param rows live rows of axis 0, ascending; empty = all. Others stay bit for bit and have no gradient or moments
 * @param mask a file with one bit per element, lowest bit first, 1 = live; null = all
 */
public record Trainable(String name, int group, List<Rows> rows, Path mask) {
    /** A range of rows: begin, begin + 1, ... end - 1. */
    public record Rows(long begin, long end) {
        /** Checks that the range is not empty. */
        public Rows {
            if (begin < 0 || end <= begin) {
                throw new IllegalArgumentException("rows must be a range [begin, end), got [" + begin + ", " + end + ")");
            }
        }
    }

    /** Checks the group and copies the rows. */
    public Trainable {
        Objects.requireNonNull(name, "name of a trainable parameter");
        if (group < 0) {
            throw new IllegalArgumentException(name + ": group must not be negative, got " + group);
        }
        rows = List.copyOf(rows);
    }

    /** All of a parameter. */
    public Trainable(String name, int group) {
        this(name, group, List.of(), null);
    }
}
