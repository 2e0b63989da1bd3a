package dev.graft.model;

import dev.graft.engine.Param;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.StoredTensor;
import dev.graft.weights.WeightsException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Whether an adapter's tensors are those of a network, by name and size. */
final class AdapterFit {
    private final Network network;
    private final PeftFolder folder;
    private final Map<String, LowRankGraph.Adaptable> layers = new LinkedHashMap<>();
    private final Map<String, Param> parameters = new LinkedHashMap<>();
    private final List<String> problems = new ArrayList<>();

    private AdapterFit(Network network, PeftFolder folder) {
        this.network = network;
        this.folder = folder;
        LowRankGraph.adaptable(network.graph()).forEach(l -> layers.put(l.module(), l));
        network.graph().parameters().forEach(p -> parameters.put(p.name(), p));
    }

    /** @throws WeightsException naming the first part that does not fit, and how many do */
    static void require(Network network, PeftFolder folder) {
        AdapterFit fit = new AdapterFit(network, folder);
        folder.layers().forEach(fit::layer);
        folder.saved().forEach(fit::whole);
        int found = folder.layers().size() + folder.saved().size();
        int misfits = fit.problems.size();
        fit.missing();
        if (!fit.problems.isEmpty()) {
            throw new WeightsException(folder.folder() + ": an adapter for another base than " + network.name() + " (" + (found - misfits) + " of "
                    + found + " parts fit): " + fit.problems.get(0)
                    + (fit.problems.size() > 1 ? " and " + (fit.problems.size() - 1) + " more" : ""));
        }
    }

    private void layer(PeftFolder.Layer layer) {
        LowRankGraph.Adaptable here = layers.get(layer.module());
        if (here == null) {
            problems.add("it adapts " + layer.module() + ", " + (parameters.containsKey(layer.module() + ".weight") ? "which cannot be adapted"
                    : "which " + network.name() + " does not have"));
            return;
        }
        List<Long> weight = parameters.get(layer.module() + ".weight").dims();
        long[] a = layer.a().dims();
        long[] b = layer.b().dims();
        boolean fits = b[0] == here.out() && (here.linear() ? !layer.convolution() && a[1] == here.in()
                : layer.convolution() && a[1] == weight.get(3) && a[2] == weight.get(1) && a[3] == weight.get(2));
        if (!fits) {
            problems.add(layer.module() + " has A " + Arrays.toString(a) + " and B " + Arrays.toString(b) + ", its weight in " + network.name() + " is "
                    + Arrays.toString(Checkpoint.torchDims(parameters.get(layer.module() + ".weight"))));
        }
    }

    private void whole(StoredTensor tensor) {
        Param here = parameters.get(tensor.name());
        if (here == null) {
            problems.add("it has " + tensor.name() + " whole, which " + network.name() + " does not have");
        } else if (!Arrays.equals(Checkpoint.torchDims(here), tensor.dims())) {
            problems.add(tensor.name() + " is " + Arrays.toString(tensor.dims()) + ", in " + network.name() + " "
                    + Arrays.toString(Checkpoint.torchDims(here)));
        }
    }

    /** What the settings list and the network has, but the file has not. */
    private void missing() {
        List<String> there = folder.layers().stream().map(PeftFolder.Layer::module).toList();
        List<String> whole = folder.saved().stream().map(StoredTensor::name).toList();
        for (String module : layers.keySet()) {
            boolean listed = folder.config().targets(module) && !folder.config().selective() && !folder.config().saves(module + ".weight");
            if (listed && !there.contains(module)) {
                problems.add(PeftFolder.CONFIG + " adapts " + module + ", of which the file has no lora_A and lora_B");
            }
        }
        for (String parameter : parameters.keySet()) {
            if (folder.config().saves(parameter) && !whole.contains(parameter)) {
                problems.add(PeftFolder.CONFIG + " saves " + parameter + " whole, but the file does not have it");
            }
        }
    }
}
