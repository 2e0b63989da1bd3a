package dev.graft.model;

import dev.graft.engine.Graph;
import dev.graft.engine.Origin;
import dev.graft.engine.Param;
import dev.graft.engine.Parameters;
import dev.graft.weights.PeftFolder;
import dev.graft.weights.StoredTensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * A low-rank adapter of a network: which layers it adapts and which parameters it has whole instead of the base's. Its
 * {@linkplain #network() network} is the base rewritten; several with names of their own share the base's parameters in one
 * store. Immutable.
 *
 * @param base           the network without it
 * @param name           name of the adapter, null for the only one: then its whole parameters are the base's own
 * @param layers         the adapted layers
 * @param whole          names in the base of the parameters that it has whole, PEFT's {@code modules_to_save}
 * @param rankStabilised whether the factors are alpha / sqrt(rank): how they are written
 */
public record LowRankAdapter(Network base, String name, List<LowRankLayer> layers, List<String> whole, boolean rankStabilised) {
    /** Copies the lists and checks the name. */
    public LowRankAdapter {
        layers = List.copyOf(layers);
        whole = List.copyOf(whole);
        if (name != null && !name.matches("[A-Za-z0-9_-]+")) {
            throw new IllegalArgumentException("name of an adapter: expected letters, digits, _ and -, got '" + name + "'");
        }
        for (String parameter : whole) {
            if (!(base.graph().find(parameter).orElse(null) instanceof Param)) {
                throw new IllegalArgumentException(base.name() + " has no parameter " + parameter);
            }
        }
    }

    /**
     * The adapter of a folder.
     *
     * @param name name under which its parameters live in a store; null for the only one
     * @throws dev.graft.weights.WeightsException naming the first tensor that does not fit this base, and how many do
     */
    public static LowRankAdapter of(Network base, PeftFolder folder, String name) {
        AdapterFit.require(base, folder);
        double dropout = folder.config().dropout();
        List<LowRankLayer> layers = folder.layers().stream()
                .map(l -> new LowRankLayer(l.module(), l.rank(), l.factor(), dropout, List.of())).toList();
        return new LowRankAdapter(base, name, layers, folder.saved().stream().map(StoredTensor::name).toList(),
                folder.config().rankStabilised());
    }

    /** The base with the adapter in it. */
    public Network network() {
        Network adapted = LowRankGraph.insert(base, layers, name);
        if (name == null) {
            return adapted;
        }
        Graph graph = adapted.graph();
        Map<String, String> renamed = new HashMap<>();
        for (String parameter : whole) {
            renamed.put(parameter, own(parameter));
            graph = graph.rename(parameter, own(parameter));
        }
        Map<String, Start> starts = new HashMap<>();
        adapted.starts().forEach((parameter, start) -> starts.put(renamed.getOrDefault(parameter, parameter), start));
        List<LayerGroup> groups = adapted.groups().stream().map(g -> new LayerGroup(g.name(),
                g.parameters().stream().map(p -> renamed.getOrDefault(p, p)).toList())).toList();
        return new Network(adapted.name(), graph, adapted.imageSize(), adapted.classes(), groups, starts, adapted.positions());
    }

    /** Its own parameters, under their names in a store: A and B of each layer, then those it has whole. */
    public List<String> parameters() {
        List<String> names = new ArrayList<>();
        for (LowRankLayer layer : layers) {
            names.add(LowRankGraph.a(layer.module(), name));
            names.add(LowRankGraph.b(layer.module(), name));
        }
        whole.forEach(parameter -> names.add(own(parameter)));
        return names;
    }

    /** Declares its parameters and binds them to the tensors of the folder, which must stay as it is while the store lives. */
    public void load(PeftFolder folder, Parameters into) {
        Graph graph = network().graph();
        Map<String, StoredTensor> tensors = new HashMap<>();
        for (PeftFolder.Layer layer : folder.layers()) {
            tensors.put(LowRankGraph.a(layer.module(), name), layer.a());
            tensors.put(LowRankGraph.b(layer.module(), name), layer.b());
        }
        folder.saved().forEach(tensor -> tensors.put(own(tensor.name()), tensor));
        for (String parameter : parameters()) {
            Param p = (Param) graph.entry(parameter);
            if (!into.contains(parameter)) {
                into.declare(parameter, p.dims(), p.buffer(), Origin.METHOD);
            }
            Checkpoint.bind(p, tensors.get(parameter), folder.file(), into);
        }
    }

    /**
     * Writes a PEFT folder, all of it or nothing. Slices of a fused layer become one adapter of the whole layer, of rank
     * slices x rank, with zeros in B outside the slices. A parameter that is whole takes its module along.
     *
     * @param folder    absent or empty
     * @param overwrite whether old content of the folder is replaced
     * @param from      the store that has the values
     * @param metadata  of the tensor file, such as {@link dev.graft.weights.Bundle#metadata}
     */
    public void save(Path folder, boolean overwrite, Parameters from, Map<String, String> metadata) {
        AdapterExport.write(this, folder, overwrite, from, metadata);
    }

    /** The modules of the whole parameters, in graph order. */
    Collection<String> wholeModules() {
        return base.graph().parameters().stream().map(Param::name).filter(whole::contains).map(LowRankAdapter::module).distinct().toList();
    }

    /** Name in a store of a parameter that the adapter has whole. */
    String own(String parameter) {
        return name == null ? parameter : module(parameter) + ".modules_to_save." + name + parameter.substring(parameter.lastIndexOf('.'));
    }

    /** The module of a parameter. */
    static String module(String parameter) {
        int dot = parameter.lastIndexOf('.');
        if (dot < 0) {
            throw new IllegalArgumentException(parameter + " is of no module, so PEFT cannot save it whole");
        }
        return parameter.substring(0, dot);
    }
}
