package dev.graft.jmh;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.graft.engine.Plan;

/** The time of one node's kernels, forward and backward, by a plan's own clock around each. */
final class KernelClock {
    private final JsonMapper json = JsonMapper.builder().build();
    private final Plan plan;
    private final String node;

    KernelClock(Plan plan, String node) {
        this.plan = plan;
        this.node = node;
    }

    /** Runs the plan once, without an update; milliseconds that the node took. */
    double run() {
        try {
            double microseconds = 0;
            for (JsonNode kernel : json.readTree(plan.profile())) {
                if (kernel.get("node").asText().equals(node)) {
                    microseconds += kernel.get("microseconds").asDouble();
                }
            }
            return microseconds / 1000;
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("the plan's profile is no JSON", e);
        }
    }
}
