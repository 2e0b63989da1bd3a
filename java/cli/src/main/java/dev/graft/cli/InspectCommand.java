package dev.graft.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.model.Architecture;
import dev.graft.model.Checkpoint;
import dev.graft.model.Models;
import dev.graft.weights.Bundle;
import dev.graft.weights.BundleDescription;
import dev.graft.weights.KnownFiles;
import dev.graft.weights.LoadReport;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.WeightFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code graft inspect}: what a weight file holds and whether it fits a network. */
@picocli.CommandLine.Command(name = "inspect", description = "Lists the tensors of a weight file and compares them with a network.")
final class InspectCommand implements Command {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Parameters(index = "0", paramLabel = "FILE", description = "a checkpoint, an index of shards, the folder of a result or of an adapter")
    Path file;

    @Option(names = "--model", paramLabel = "NAME", description = "the network to compare with; default: the one that the file is known to be of")
    String model;

    @Override
    public int run(CommonOptions common, Terminal terminal) {
        Architecture asked = model == null ? null : Models.named(model);
        if (PeftFolder.is(file)) {
            terminal.result(AdapterInspection.of(file, asked, terminal));
            return ExitCode.DONE;
        }
        ObjectNode json = JSON.createObjectNode().put("file", file.toString());
        try (WeightFile weights = Bundle.openWeights(file)) {
            terminal.say(weights.toString());
            json.put("format", weights.format()).put("state_key", weights.stateKey()).put("stripped_prefix", weights.strippedPrefix());
            tensors(weights, terminal, json);
            ObjectNode metadata = json.putObject("metadata");
            weights.metadata().forEach((key, value) -> {
                metadata.put(key, value);
                terminal.say("metadata " + key + ": " + value);
            });
            ArrayNode others = json.putArray("others");
            weights.others().forEach(other -> {
                others.add(other);
                terminal.say("also holds " + other);
            });
            bundle(terminal, json);
            Architecture architecture = known(weights, asked, terminal, json);
            report(weights, architecture, terminal, json);
        }
        terminal.result(json);
        return ExitCode.DONE;
    }

    private static void tensors(WeightFile weights, Terminal terminal, ObjectNode json) {
        long elements = 0;
        ArrayNode list = json.putArray("tensors");
        for (StoredTensor tensor : weights.tensors()) {
            terminal.say(String.format("  %-50s %-5s %s", tensor.name(), tensor.dtype(), Arrays.toString(tensor.dims())));
            ArrayNode dims = list.addObject().put("name", tensor.name()).put("dtype", tensor.dtype().name()).putArray("dims");
            Arrays.stream(tensor.dims()).forEach(dims::add);
            elements += tensor.elements();
        }
        terminal.say(String.format("%d tensors, %,d elements", weights.tensors().size(), elements));
        json.put("elements", elements);
    }

    private void bundle(Terminal terminal, ObjectNode json) {
        if (!Bundle.is(file)) {
            json.putNull("bundle");
            return;
        }
        BundleDescription d = Bundle.read(file).description();
        String method = d.run().path("method").asText("unknown");
        terminal.say("result of graft " + d.graft() + ": " + d.model() + ", " + method + ", classes " + d.classes());
        ObjectNode node = json.putObject("bundle").put("graft", d.graft()).put("model", d.model()).put("method", method);
        ArrayNode classes = node.putArray("classes");
        d.classes().forEach(classes::add);
    }

    private Architecture known(WeightFile weights, Architecture asked, Terminal terminal, ObjectNode json) {
        KnownFiles.KnownFile known = Files.isRegularFile(file) ? KnownFiles.find(file) : null;
        if (known == null) {
            json.putNull("known");
            terminal.say("not a known file");
        } else {
            json.putObject("known").put("name", known.name()).put("model", known.model()).put("card", known.card().toString());
            terminal.say(known.card().origin() + ", of " + known.model() + "; preprocessing: " + known.card());
        }
        String name = known == null ? weights.metadata().get(Bundle.MODEL_KEY) : known.model();
        return asked != null ? asked : name != null && Models.has(name) ? Models.named(name) : null;
    }

    private static void report(WeightFile weights, Architecture architecture, Terminal terminal, ObjectNode json) {
        if (architecture == null) {
            json.putNull("report");
            return;
        }
        int outputs = Heads.outputs(architecture, weights);
        LoadReport report = Checkpoint.compare(architecture.network(architecture.imageSize(), outputs > 0 ? outputs : architecture.classes()), weights);
        terminal.say("compared with " + architecture.name() + ": " + report);
        ObjectNode node = JSON.valueToTree(report);
        json.set("report", node.put("model", architecture.name()).put("exact", report.exact()));
    }
}
