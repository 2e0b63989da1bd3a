package dev.graft.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/** Commands and options are those that scripts rely on; wrong ones are answered with the nearest. */
class ContractTest {
    private static final List<String> COMMON = List.of("--json", "--seed", "--threads", "--device", "--precision");
    private static final List<String> CARD = List.of("--resize", "--crop", "--mean", "--std", "--interpolation", "--channels", "--preprocess");
    private static final List<String> TRAINING = List.of("--model", "--weights", "--data", "--strategy", "--epochs", "--batch", "--lr",
            "--optimizer", "--momentum", "--weight-decay", "--schedule", "--warmup", "--augment", "--label-smoothing", "--l2sp", "--lr-mult",
            "--layer-decay", "--bn", "--head", "--patience", "--accumulate", "--clip", "--val-fraction", "--out");

    private static void takes(String command, List<String> options) {
        CommandLine line = new CommandLine(new Graft());
        CommandLine found = command.isEmpty() ? line : line.getSubcommands().get(command);
        Set<String> missing = new TreeSet<>(options);
        missing.removeAll(found.getCommandSpec().optionsMap().keySet());
        assertEquals(Set.of(), missing, command);
    }

    @Test
    void everyCommandTakesItsOptions() {
        for (String command : List.of("demo", "finetune", "evaluate", "predict", "plan", "inspect", "models", "doctor")) {
            takes(command, COMMON);
        }
        takes("", COMMON);
        takes("finetune", TRAINING);
        takes("finetune", CARD);
        takes("finetune", List.of("--overwrite"));
        takes("plan", TRAINING);
        takes("plan", CARD);
        takes("evaluate", List.of("--model", "--weights", "--data", "--split", "--run"));
        takes("predict", List.of("--run", "--top"));
        takes("inspect", List.of("--model"));
        takes("demo", List.of("--out"));
    }

    @Test
    void unknownNamesAreAnsweredWithTheNearest() {
        Invocation.of("finetun").failed(2, "unknown command finetun", "did you mean finetune?");
        Invocation.of("evaluate", "--modle", "x", "--data", "y").failed(2, "unknown option --modle", "did you mean --model?");
        Invocation.of("finetune", "--stratgey=head").failed(2, "--stratgey", "did you mean --strategy?");
        Invocation.of("--jsno", "models").failed(2, "did you mean --json?");
        Invocation.of("inspect", "x", "--model", "resnet81").failed(2, "unknown model resnet81", "did you mean resnet18?");
        Invocation.of("evaluate", "--run", "x", "--data", "y", "--split", "tset").failed(2, "tset", "did you mean test?");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--strategy", "ful").failed(2, "ful", "did you mean full?");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--schedule", "cosin").failed(2, "cosin", "did you mean cosine?");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--optimizer", "sdg").failed(2, "sdg", "did you mean sgd?");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--interpolation", "bilinaer").failed(2, "did you mean bilinear?");
    }

    @Test
    void missingAndMalformedValuesAreWrongOptions() {
        Invocation.of("finetune", "--model", "resnet18", "--data", "x").failed(2, "--out");
        Invocation.of("predict", "x.png").failed(2, "--run");
        Invocation.of("predict", "--run", "x", "--top", "0", "y.png").failed(2, "--top is 0");
        Invocation.of("models", "--threads", "many").failed(2, "--threads", "many");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--threads", "0").failed(2, "--threads is 0");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--seed", "-1").failed(2, "--seed is -1");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--mean", "1,2").failed(2, "--mean is 1,2");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--strategy", "scratch", "--epochs", "0").failed(2, "epochs is 0");
        Invocation.of("evaluate", "--data", "x").failed(2, "--run DIR, or --model NAME and --weights FILE");
        Invocation.of("evaluate", "--run", "x", "--model", "resnet18", "--data", "x").failed(2, "--run brings its own model");
        assertEquals(2, Invocation.of().code());
    }

    @Test
    void absentDeviceIsAnExitCodeOfItsOwn() {
        // no machine has so many GPUs; without CUDA there is a reason that comes before their number
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--device", "cuda:9999").failed(4, "device cuda:9999: ");
        Invocation.of("--device", "cuda:9999", "predict", "--run", "x", "y.png").failed(4, "device cuda:9999: ");
        for (String command : List.of("demo", "demo-source")) {
            Invocation.of(command, "--out", "/no/such/folder/x", "--device", "cuda:9999").failed(4, "device cuda:9999: ");
        }
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--device", "gpu").failed(2, "--device is gpu");
        Invocation.of("plan", "--model", "resnet18", "--data", "x", "--device", "cuda:x").failed(2, "--device is cuda:x");
        Invocation auto = Invocation.of("plan", "--model", "resnet18", "--data", "/no/such/folder", "--strategy", "scratch", "--device", "auto")
                .failed(3, "/no/such/folder");
        assertTrue(auto.err().contains("the CPU is used"), auto.err());
    }

    @Test
    void failuresAreJsonToo() {
        Invocation failed = Invocation.of("predict", "--run", "/no/such/run", "x.png", "--json").failed(3, "/no/such/run");
        assertEquals(3, failed.json().path("exit_code").asInt());
        assertTrue(failed.json().path("error").asText().contains("/no/such/run"));
        assertEquals(2, Invocation.of("finetun", "--json").json().path("exit_code").asInt());
    }

    @Test
    void versionModelsAndDoctorAnswer() {
        assertTrue(Invocation.of("--version").done().out().matches("graft \\d+\\.\\d+.*\\R"));
        assertTrue(Invocation.of("--help").done().out().contains("finetune"));
        assertTrue(Invocation.of("finetune", "--help").done().out().contains("--strategy"));
        var models = Invocation.of("models", "--json").done().json().path("models");
        assertTrue(models.size() > 10);
        assertEquals(11_689_512, models.get(0).path("parameters").asLong(), "torchvision's count of resnet18");
        var doctor = Invocation.of("doctor", "--json").done().json();
        assertTrue(doctor.path("ok").asBoolean());
        for (String key : List.of("java", "natives", "instruction_set", "bf16", "threads", "available_memory_mb", "onednn", "cuda")) {
            assertTrue(doctor.hasNonNull(key), key);
        }
        // it says what --device cuda would, or the versions that it would use
        Invocation cuda = Invocation.of("plan", "--model", "resnet18", "--data", "/no/such/folder", "--strategy", "scratch", "--device", "cuda");
        String reason = doctor.path("cuda").asText();
        assertTrue(reason.startsWith("runtime ") || cuda.err().contains("device cuda: " + reason), reason + "; " + cuda.err());
    }
}
