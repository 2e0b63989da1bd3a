package dev.graft.cli;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** Who may know whom: the rooms of the README, held over the compiled classes. */
class ArrowsTest {
    private static final JavaClasses CLASSES = new ClassFileImporter().withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
            .importPackages("dev.graft");

    /** Every package and those of Graft that it may use, beside itself. */
    private static Map<String, Set<String>> arrows() {
        Map<String, Set<String>> may = new LinkedHashMap<>();
        may.put("engine", Set.of());
        may.put("weights", Set.of("engine"));
        may.put("model", Set.of("engine", "weights"));
        may.put("tune", Set.of("engine", "weights", "model"));
        may.put("data", Set.of("engine", "weights"));
        may.put("predict", Set.of("engine", "weights", "model", "data"));
        may.put("train", Set.of("engine", "weights", "model", "tune", "data"));
        may.put("evaluate", Set.of("engine", "weights", "model", "data", "train", "predict"));
        may.put("report", Set.of("engine", "weights", "evaluate"));
        may.put("finetune", Set.of("engine", "weights", "model", "tune", "data", "predict", "train", "evaluate"));
        may.put("cli", Set.of("engine", "weights", "model", "tune", "data", "predict", "train", "evaluate", "report", "finetune"));
        return may;
    }

    @Test
    void packagesUseOnlyThoseBelow() {
        Map<String, Set<String>> may = arrows();
        may.forEach((room, below) -> {
            Set<String> forbidden = new TreeSet<>(may.keySet());
            forbidden.removeAll(below);
            forbidden.remove(room);
            String[] packages = forbidden.stream().map(p -> "dev.graft." + p + "..").toArray(String[]::new);
            if (packages.length > 0) {
                noClasses().that().resideInAPackage("dev.graft." + room + "..").should().dependOnClassesThat().resideInAnyPackage(packages).check(CLASSES);
            }
        });
    }

    @Test
    void everyPackageHasItsPlace() {
        Set<String> rooms = new TreeSet<>();
        CLASSES.forEach(c -> rooms.add(c.getPackageName().split("\\.")[2]));
        rooms.removeAll(arrows().keySet());
        assertEquals(Set.of(), rooms);
    }

    @Test
    void bindingStaysInTheEngine() {
        noClasses().that().resideOutsideOfPackage("dev.graft.engine..").should().dependOnClassesThat()
                .resideInAnyPackage("dev.graft.engine.binding..", "dev.graft.engine.preset..", "org.bytedeco..").check(CLASSES);
    }

    @Test
    void librariesDoNotEndTheJvm() {
        for (String forbidden : List.of("exit", "gc")) {
            noClasses().that().resideOutsideOfPackage("dev.graft.cli..").should().callMethod(System.class, forbidden, parameters(forbidden)).check(CLASSES);
        }
    }

    private static Class<?>[] parameters(String method) {
        return method.equals("gc") ? new Class<?>[0] : new Class<?>[] {int.class};
    }
}
