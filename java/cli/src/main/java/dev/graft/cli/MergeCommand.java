package dev.graft.cli;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.engine.Device;
import dev.graft.model.Architecture;
import dev.graft.model.LogitDrift;
import dev.graft.model.LowRankAdapter;
import dev.graft.model.Models;
import dev.graft.model.Network;
import dev.graft.weights.Bundle;
import dev.graft.weights.CardChoice;
import dev.graft.weights.CardKeys;
import dev.graft.weights.KnownFiles;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.PeftMerge;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.WeightFile;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** {@code graft merge}: an adapter into a weight file, or out of it. */
@picocli.CommandLine.Command(name = "merge", description = "Merges a low-rank adapter into weights, or takes it out of them.")
final class MergeCommand implements Command {
    @Option(names = "--weights", paramLabel = "FILE", required = true, description = "a checkpoint or a former result")
    Path weights;

    @Option(names = "--adapter", paramLabel = "DIR", required = true, description = "a folder as PEFT saves it, or a result that has one")
    Path adapter;

    @Option(names = "--out", paramLabel = "FILE", required = true, description = "the new safetensors file")
    Path out;

    @Option(names = "--unmerge", description = "take the adapter out of weights that it was merged into")
    boolean unmerge;

    @Option(names = "--overwrite", description = "replace --out where it is there")
    boolean overwrite;

    @Option(names = "--model", paramLabel = "NAME", description = "the network, where the files do not say it: its logits are compared")
    String model;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        CommonOptions.Machine machine = common.machine(terminal).onProcessor("merge", terminal);
        check();
        Path folder = PredictionSource.folder(adapter);
        try (WeightFile file = Bundle.openWeights(weights); PeftFolder peft = PeftFolder.open(folder);
                Device device = Device.open("cpu", machine.threads(), 1)) {
            Network network = network(file, peft, terminal);
            if (network != null) {
                LowRankAdapter.of(network, peft, null);     // refused before anything is written
            }
            terminal.say(peft.toString());
            PeftMerge.Outcome outcome = unmerge ? PeftMerge.unmerge(file, peft, out, device.kernels())
                    : PeftMerge.merge(file, peft, out, device.kernels());
            LogitDrift drift = network == null ? null : drift(network, file, peft, common.seed(), machine.threads());
            tell(outcome, drift, folder, terminal);
        }
        return ExitCode.DONE;
    }

    private void check() {
        if (model != null) {
            Models.named(model);
        }
        if (Files.isDirectory(out)) {
            throw new IllegalArgumentException("--out " + out + " is a folder, expected the name of a file");
        }
        if (Files.exists(out) && !overwrite) {
            throw new IllegalArgumentException("--out " + out + " is there already: give another name or --overwrite");
        }
        Path above = out.toAbsolutePath().getParent();
        if (!Files.isDirectory(above)) {
            throw new IllegalArgumentException("--out " + out + ": there is no folder " + above);
        }
    }

    /** As the merged weights have it; null where nothing says which it is. */
    private Network network(WeightFile file, PeftFolder peft, Terminal terminal) {
        KnownFiles.KnownFile known = Files.isRegularFile(weights) ? KnownFiles.find(weights) : null;
        String name = model != null ? model : file.metadata().getOrDefault(Bundle.MODEL_KEY,
                peft.file().metadata().getOrDefault(Bundle.MODEL_KEY, known == null ? null : known.model()));
        if (name == null || !Models.names().contains(name)) {
            terminal.note("nothing says which network this is: logits are not compared (--model NAME does)");
            return null;
        }
        Architecture architecture = Models.named(name);
        int size = CardChoice.of(CardKeys.NONE, null, file, architecture.card()).crop();
        int classes = Heads.outputs(architecture, file);
        for (String parameter : architecture.network(size, architecture.classes()).head().parameters()) {
            for (StoredTensor tensor : peft.saved()) {
                classes = tensor.name().equals(parameter) ? Math.toIntExact(tensor.dims()[0]) : classes;
            }
        }
        return architecture.network(size, classes > 0 ? classes : architecture.classes());
    }

    private LogitDrift drift(Network network, WeightFile file, PeftFolder peft, long seed, int threads) {
        try (WeightFile made = WeightFile.open(out)) {
            return LogitDrift.ofMerge(network, unmerge ? made : file, peft, unmerge ? file : made, seed, threads);
        }
    }

    private void tell(PeftMerge.Outcome outcome, LogitDrift drift, Path folder, Terminal terminal) {
        terminal.say(String.format("%s %d weights, largest change %.4g in %s", unmerge ? "took the adapter out of" : "merged the adapter into",
                outcome.layers(), outcome.largestChange(), outcome.where()));
        if (!outcome.whole().isEmpty()) {
            terminal.say((unmerge ? "kept as they are, since the adapter does not hold what they were: " : "exchanged: ")
                    + String.join(", ", outcome.whole()));
        }
        if (drift != null) {
            terminal.say(String.format("largest drift of a logit on %d pictures of noise: %.3g, of logits up to %.3g", LogitDrift.PICTURES,
                    drift.largest(), drift.magnitude()));
        }
        terminal.say("saved in " + out);
        ObjectNode json = JsonNodeFactory.instance.objectNode().put("out", out.toString()).put("weights", weights.toString())
                .put("adapter", folder.toString()).put("unmerge", unmerge).put("layers", outcome.layers());
        outcome.whole().forEach(json.putArray("whole")::add);
        json.put("largest_weight_change", outcome.largestChange()).put("largest_weight_change_in", outcome.where())
                .put("largest_logit_drift", drift == null ? null : drift.largest()).put("largest_logit", drift == null ? null : drift.magnitude());
        terminal.result(json);
    }
}
