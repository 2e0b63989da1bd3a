package dev.graft.engine;

/** Options of a plan as the lines that {@code graft_plan_compile} reads; numbers do not depend on the locale. */
final class PlanLines {
    private final StringBuilder lines = new StringBuilder();

    PlanLines add(PlanOptions o) {
        line("mode", o.mode() == Mode.TRAIN ? "train" : "eval");
        line("precision", o.precision() == Precision.F32 ? "f32" : "bf16");
        line("batch", Integer.toString(o.batch()));
        line("fold", o.fold() ? "1" : "0");
        line("fuse", o.fuse() ? "1" : "0");
        line("accumulate", o.accumulate() ? "1" : "0");
        if (o.optimizer() != null) {
            line("optimizer", text(o.optimizer()) + (o.clip() ? ",clip=1" : "") + (o.anchor() ? ",anchor=1" : "")
                    + (o.watch() ? ",watch=1" : "") + (o.average() > 0 ? ",average=" + Numbers.text(o.average()) : ""));
        }
        line("groups", Integer.toString(o.groups()));
        for (Trainable t : o.trainables()) {
            line("train", t.group() + " " + t.name());
            for (Trainable.Rows r : t.rows()) {
                line("rows", t.name() + " " + r.begin() + " " + r.end());
            }
            if (t.mask() != null) {
                line("mask", t.name() + " " + t.mask().toAbsolutePath());
            }
        }
        o.tracked().forEach(name -> line("track", name));
        o.keep().forEach(name -> line("keep", name));
        o.resident().forEach(name -> line("resident", name));
        if (o.limit() > 0) {
            line("limit", Long.toString(o.limit()));
        }
        o.products().each(this::line);
        return this;
    }

    private static String text(Optimizer optimizer) {
        if (optimizer instanceof Optimizer.Sgd sgd) {
            return "sgd momentum=" + Numbers.text(sgd.momentum()) + ",nesterov=" + (sgd.nesterov() ? 1 : 0);
        }
        if (optimizer instanceof Optimizer.Adam adam) {
            return "adam " + moments(adam.beta1(), adam.beta2(), adam.eps());
        }
        Optimizer.AdamW adamW = (Optimizer.AdamW) optimizer;
        return "adamw " + moments(adamW.beta1(), adamW.beta2(), adamW.eps());
    }

    private static String moments(double beta1, double beta2, double eps) {
        return "beta1=" + Numbers.text(beta1) + ",beta2=" + Numbers.text(beta2) + ",eps=" + Numbers.text(eps);
    }

    private void line(String key, String rest) {
        if (rest.indexOf('\n') >= 0) {
            throw new IllegalArgumentException(key + " must be on one line, got '" + rest.replace("\n", "\\n") + "'");
        }
        lines.append(key).append(' ').append(rest).append('\n');
    }

    @Override
    public String toString() {
        return lines.toString();
    }
}
