package dev.graft.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.graft.model.Architecture;
import dev.graft.model.LayerGroup;
import dev.graft.model.Models;
import dev.graft.model.Network;
import java.util.List;
import picocli.CommandLine;

/** {@code graft models}: the networks that can be fine-tuned. */
@CommandLine.Command(name = "models", description = "Lists the networks that can be fine-tuned.")
final class ModelsCommand implements Command {
    @Override
    public int run(CommonOptions common, Terminal terminal) {
        ArrayNode list = JsonNodeFactory.instance.arrayNode();
        terminal.say(String.format("%-22s %12s %6s %8s  %s", "model", "parameters", "size", "classes", "layer groups"));
        for (String name : Models.names()) {
            Architecture model = Models.named(name);
            Network network = model.network(model.imageSize(), model.classes());
            long parameters = network.graph().parameters().stream().filter(p -> !p.buffer()).mapToLong(p -> p.count()).sum();
            List<String> groups = network.groups().stream().map(LayerGroup::name).toList();
            terminal.say(String.format("%-22s %,12d %6d %8d  %s", name, parameters, model.imageSize(), model.classes(), String.join(" ", groups)));
            ObjectNode row = list.addObject().put("name", name).put("parameters", parameters).put("image_size", model.imageSize())
                    .put("classes", model.classes());
            ArrayNode names = row.putArray("groups");
            groups.forEach(names::add);
        }
        terminal.result(JsonNodeFactory.instance.objectNode().set("models", list));
        return ExitCode.DONE;
    }
}
