package dev.graft.weights;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What {@code adapter_config.json} of Python's PEFT says about a LoRA adapter. The base's own layout ({@code fan_in_fan_out}) does
 * not matter: A and B are stored alike.
 *
 * @param rank             of modules that no pattern names
 * @param alpha            of modules that no pattern names; finite
 * @param rankStabilised   whether the factor is alpha / sqrt(rank) and not alpha / rank
 * @param dropout          rate on what A reads while training, 0 to below 1
 * @param targets          adapted modules as they are listed, whole names or ends of them; empty where a text stands for them
 * @param targetPattern    regular expression of the adapted modules; null where they are listed, or are all that are linear
 * @param modulesToSave    modules that are saved whole, whole names or ends of them
 * @param rankPattern      ranks by regular expression of the module, the first that matches
 * @param alphaPattern     alphas alike
 * @param selective        whether further settings keep modules out that {@code targets} names
 * @param base             name or path of the base; null where it is not said
 * @param ignored          settings that are unknown here and have a value
 */
public record PeftConfig(int rank, double alpha, boolean rankStabilised, double dropout, List<String> targets, String targetPattern,
                         List<String> modulesToSave, Map<String, Integer> rankPattern, Map<String, Double> alphaPattern,
                         boolean selective, String base, List<String> ignored) {
    private static final Set<String> READ = Set.of("peft_type", "r", "lora_alpha", "use_rslora", "lora_dropout", "target_modules",
            "modules_to_save", "rank_pattern", "alpha_pattern", "bias", "init_lora_weights", "base_model_name_or_path", "exclude_modules",
            "layers_to_transform", "layers_pattern");
    /** They say how PEFT loads or trains, not what the adapter computes. */
    private static final Set<String> WITHOUT_EFFECT = Set.of("task_type", "auto_mapping", "revision", "inference_mode", "fan_in_fan_out",
            "runtime_config", "peft_version", "megatron_core", "megatron_config", "loftq_config", "eva_config", "corda_config",
            "lora_ga_config", "qalora_group_size", "ensure_weight_tying");
    /** They change what the adapter computes. */
    private static final List<String> REFUSED = List.of("use_dora", "lora_bias", "use_qalora", "layer_replication", "trainable_token_indices",
            "target_parameters", "alora_invocation_tokens", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config");
    /** Starts that leave the base's weights as they are. */
    private static final Set<String> STARTS = Set.of("gaussian", "eva", "orthogonal");
    private static final String ALL = "all-linear";
    private static final int LARGEST_RANK = 1 << 16;

    /** Copies the collections and checks the numbers. */
    public PeftConfig {
        targets = List.copyOf(targets);
        modulesToSave = List.copyOf(modulesToSave);
        rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
        alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
        ignored = List.copyOf(ignored);
        List<Integer> ranks = new ArrayList<>(rankPattern.values());
        ranks.add(rank);
        for (int r : ranks) {
            require(r >= 1 && r <= LARGEST_RANK, "a rank is " + r + ", expected 1 to " + LARGEST_RANK);
        }
        List<Double> alphas = new ArrayList<>(alphaPattern.values());
        alphas.add(alpha);
        for (double a : alphas) {
            require(Double.isFinite(a), "a lora_alpha is " + a + ", expected a finite number");
        }
        require(dropout >= 0 && dropout < 1, "lora_dropout is " + dropout + ", expected 0 or more and less than 1");
    }

    /** Rank and alpha of a module. */
    public record Strength(int rank, double alpha) {}

    /**
     * The settings of an adapter that trains these modules; the commonest strength is the general one, others become patterns.
     *
     * @param strengths by module, at least one
     * @param others    further modules of the base: where a name in {@code strengths} is the end of one of them, the modules are written
     *                  as a pattern, since PEFT takes listed names for ends
     * @param base      name of the base, null for none
     */
    public static PeftConfig of(Map<String, Strength> strengths, Collection<String> others, boolean rankStabilised, double dropout,
                                Collection<String> modulesToSave, String base) {
        require(!strengths.isEmpty(), "an adapter without modules cannot be saved: PEFT demands at least one");
        Map<Strength, Integer> counts = new LinkedHashMap<>();
        strengths.values().forEach(s -> counts.merge(s, 1, Integer::sum));
        Strength common = Collections.max(counts.entrySet(), Map.Entry.comparingByValue()).getKey();
        Map<String, Integer> ranks = new LinkedHashMap<>();
        Map<String, Double> alphas = new LinkedHashMap<>();
        strengths.forEach((module, s) -> {
            if (s.rank != common.rank) {
                ranks.put(ModulePattern.exactly(module), s.rank);
            }
            if (s.alpha != common.alpha) {
                alphas.put(ModulePattern.exactly(module), s.alpha);
            }
        });
        List<String> targets = List.copyOf(strengths.keySet());
        boolean listed = others.stream().allMatch(o -> strengths.containsKey(o) || !ends(targets, o));
        String pattern = String.join("|", targets.stream().map(ModulePattern::exactly).toList());
        return new PeftConfig(common.rank, common.alpha, rankStabilised, dropout, listed ? targets : List.of(), listed ? null : pattern,
                List.copyOf(modulesToSave), ranks, alphas, false, base, List.of());
    }

    /** Rank and alpha that a module has by these settings. */
    public Strength strength(String module) {
        return new Strength(named(rankPattern, module, rank), named(alphaPattern, module, alpha));
    }

    /** What B A is multiplied by in a module. */
    public double factor(String module) {
        Strength s = strength(module);
        return s.alpha / (rankStabilised ? Math.sqrt(s.rank) : s.rank);
    }

    /** Whether the settings name this module among the adapted ones. */
    public boolean targets(String module) {
        return targetPattern == null ? ends(targets, module) : ModulePattern.whole(targetPattern, "target_modules").matches(module);
    }

    /** Whether a parameter belongs to a module that is saved whole. */
    public boolean saves(String parameter) {
        for (int dot = parameter.lastIndexOf('.'); dot > 0; dot = parameter.lastIndexOf('.', dot - 1)) {
            if (ends(modulesToSave, parameter.substring(0, dot))) {
                return true;
            }
        }
        return false;
    }

    /** Reads the settings; those that this build cannot compute are refused by name. */
    static PeftConfig of(JsonNode json, String where) {
        PeftFields fields = new PeftFields(json, where);
        fields.type("LORA");
        fields.refuse(REFUSED);
        String bias = fields.text("bias");
        fields.require(bias == null || bias.equals("none"), "bias", "\"none\": biases of an adapter are not supported");
        JsonNode start = json.path("init_lora_weights");
        fields.require(!start.isTextual() || STARTS.contains(start.textValue()), "init_lora_weights",
                "true, false or one of " + STARTS.stream().sorted().toList() + ": other starts change the weights of the base");
        JsonNode targets = json.path("target_modules");
        String pattern = targets.isTextual() && !targets.textValue().equals(ALL) ? targets.textValue() : null;
        if (pattern != null) {
            ModulePattern.whole(pattern, where + ": target_modules");
        }
        boolean selective = fields.active("exclude_modules") || fields.active("layers_to_transform") || fields.active("layers_pattern");
        try {
            return new PeftConfig(fields.whole("r"), fields.number("lora_alpha"), fields.flag("use_rslora"),
                    json.has("lora_dropout") ? fields.number("lora_dropout") : 0,
                    targets.isTextual() ? List.of() : fields.texts("target_modules"), pattern, fields.texts("modules_to_save"),
                    fields.wholes("rank_pattern"), fields.numbers("alpha_pattern"), selective, fields.text("base_model_name_or_path"),
                    fields.activeBeside(READ, WITHOUT_EFFECT));
        } catch (IllegalArgumentException e) {
            throw new WeightsException(where + ": " + e.getMessage(), e);
        }
    }

    /** The settings as PEFT reads them. */
    ObjectNode toJson() {
        ObjectNode json = StrictJson.MAPPER.createObjectNode();
        json.put("peft_type", "LORA").putNull("task_type").putNull("auto_mapping").put("base_model_name_or_path", base).putNull("revision")
                .put("inference_mode", true);
        json.put("r", rank).put("lora_dropout", dropout).put("use_rslora", rankStabilised).put("use_dora", false)
                .put("bias", "none").put("fan_in_fan_out", false).put("init_lora_weights", true);
        PeftFields.put(json, "lora_alpha", alpha);
        if (targetPattern == null) {
            targets.forEach(json.putArray("target_modules")::add);
        } else {
            json.put("target_modules", targetPattern);
        }
        if (modulesToSave.isEmpty()) {
            json.putNull("modules_to_save");
        } else {
            modulesToSave.forEach(json.putArray("modules_to_save")::add);
        }
        ObjectNode ranks = json.putObject("rank_pattern");
        rankPattern.forEach(ranks::put);
        ObjectNode alphas = json.putObject("alpha_pattern");
        alphaPattern.forEach((key, a) -> PeftFields.put(alphas, key, a));
        return json;
    }

    private static boolean ends(List<String> names, String module) {
        return names.stream().anyMatch(n -> module.equals(n) || module.endsWith("." + n));
    }

    private static <T> T named(Map<String, T> patterns, String module, T otherwise) {
        return patterns.entrySet().stream().filter(e -> ModulePattern.end(e.getKey(), "pattern of a module").matches(module)).findFirst()
                .map(Map.Entry::getValue).orElse(otherwise);
    }

    private static void require(boolean holds, String otherwise) {
        if (!holds) {
            throw new IllegalArgumentException(otherwise);
        }
    }
}
