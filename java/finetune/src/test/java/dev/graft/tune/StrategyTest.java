package dev.graft.tune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The grammar of strategies and patterns: what is read, and what each mistake is told. */
class StrategyTest {
    @ParameterizedTest
    @ValueSource(strings = {"scratch", "head", "full", "partial:from=layer4", "partial:train=layer4+fc.*", "gradual:every=2", "gradual:patience=3",
        "lora:r=8,alpha=16,targets=*", "lora:r=4,alpha=0.5,targets=*.qkv[q+v]+*.fc1+head,rslora=1,dropout=0.1,train=*.bias+norm,every=2",
        "lora:r=256,alpha=1,targets=blocks.?,patience=3"})
    void textIsReadAndWrittenBack(String text) {
        assertEquals(text, Strategy.parse(text).text());
    }

    @Test
    void namesBecomeTheirMethods() {
        assertEquals(new Method.Scratch(), Strategy.parse("scratch"));
        assertEquals(new Method.Head(), Strategy.parse("head"));
        assertEquals(new Method.Full(), Strategy.parse("full"));
        assertEquals(new Method.PartialFrom("layer4"), Strategy.parse("partial:from=layer4"));
        assertEquals(new Method.PartialTrain(List.of(new Glob("*.bias"), new Glob("fc"))), Strategy.parse("partial:train=*.bias+fc"));
        assertEquals(new Method.Gradual(2, 0), Strategy.parse("gradual:every=2"));
        assertEquals(new Method.Gradual(0, 3), Strategy.parse("gradual:patience=3"));
        assertFalse(Strategy.parse("scratch").pretrained());
        assertTrue(Strategy.parse("full").pretrained());
        assertTrue(Strategy.parse("head").headOnly());
        assertFalse(Strategy.parse("gradual:every=1").headOnly());
        assertEquals(new LowRankAdaptation(8, 16, false, 0, List.of(new LowRankTarget(new Glob("*"), List.of())), List.of(), null), Strategy.parse("lora"));
        assertEquals(new LowRankAdaptation(4, 8, true, 0.1, List.of(new LowRankTarget(new Glob("*.qkv"), List.of("q", "v")),
                new LowRankTarget(new Glob("*.proj"), List.of())), List.of(new Glob("*.bias")), new Method.Gradual(0, 2)),
                Strategy.parse("lora:train=*.bias,r=4,patience=2,targets=*.qkv[v+q]+*.proj,rslora=1,dropout=0.1"));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            heads | no strategy heads, did you mean head?; known are full, gradual, head, lora, partial, scratch
            Full | no strategy Full, did you mean full?; known are full, gradual, head, lora, partial, scratch
            partail:from=layer4 | no strategy partail, did you mean partial?; known are full, gradual, head, lora, partial, scratch
            zzzzzzzz | no strategy zzzzzzzz; known are full, gradual, head, lora, partial, scratch
            full:rate=1 | strategy full:rate=1: no setting rate; it takes none
            partial:form=layer4 | strategy partial:form=layer4: no setting form, did you mean from?; known are from, train
            partial | strategy partial: give from=GROUP or train=PATTERN+PATTERN
            partial:from=layer4,train=fc | strategy partial:from=layer4,train=fc: give from=GROUP or train=PATTERN+PATTERN
            partial:from= | strategy partial:from=: expected key=value, got from=
            partial:layer4 | strategy partial:layer4: expected key=value, got layer4
            partial:=layer4 | strategy partial:=layer4: expected key=value, got =layer4
            partial:from=a,from=b | strategy partial:from=a,from=b: from is given twice
            gradual | gradual: give every=N (epochs) or patience=N (epochs without improvement), N at least 1
            gradual:every=0 | gradual: give every=N (epochs) or patience=N (epochs without improvement), N at least 1
            gradual:every=-1 | gradual: give every=N (epochs) or patience=N (epochs without improvement), N at least 1
            gradual:every=2,patience=2 | gradual: give every=N (epochs) or patience=N (epochs without improvement), N at least 1
            gradual:every=two | strategy gradual:every=two: every is no whole number: two
            lora:r=0 | lora: r is 0, expected 1 to 256
            lora:r=257 | lora: r is 257, expected 1 to 256
            lora:r=two | strategy lora:r=two: r is no whole number: two
            lora:alpha=NaN | lora: alpha is NaN, expected a finite number above 0
            lora:alpha=0 | lora: alpha is 0.0, expected a finite number above 0
            lora:alpha=-1 | lora: alpha is -1.0, expected a finite number above 0
            lora:alpha=Infinity | lora: alpha is Infinity, expected a finite number above 0
            lora:alpha=x | strategy lora:alpha=x: alpha is no number: x
            lora:dropout=1 | lora: dropout is 1.0, expected 0 or more and less than 1
            lora:rslora=yes | strategy lora:rslora=yes: rslora is no number: yes
            lora:rslora=2 | strategy lora:rslora=2: rslora is 2, expected 0 or 1
            lora:rank=4 | strategy lora:rank=4: no setting rank; known are alpha, dropout, every, patience, r, rslora, targets, train
            lora:targets=*.qkv[q+x] | lora: target *.qkv[q, x]: expected some of q, k, v, each once
            lora:targets=*.qkv[q+q] | lora: target *.qkv[q, q]: expected some of q, k, v, each once
            lora:targets=*.qkv[q | lora: target *.qkv[q: expected PATTERN or PATTERN[q+v]
            lora:targets=*.qkv[] | lora: target *.qkv[]: expected PATTERN or PATTERN[q+v]
            lora:every=1,patience=1 | gradual: give every=N (epochs) or patience=N (epochs without improvement), N at least 1
            gradual:evry=2 | strategy gradual:evry=2: no setting evry, did you mean every?; known are every, patience
            """)
    void mistakesAreToldInOneLine(String text, String message) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, () -> Strategy.parse(text)).getMessage());
    }

    @ParameterizedTest
    @CsvSource({"layer4, layer4.0.conv1.weight, true", "layer4, layer40.weight, false", "layer4, layer4, true", "layer4.*, layer4.0.weight, true",
            "*.bias, fc.bias, true", "*.bias, fc.bias.scale, true", "*.bias, bias, false", "layer?, layer3.0.weight, true",
            "layer?, layer.weight, false", "a.b, axb, false", "*, anything.at.all, true", "conv[1], conv1, false", "conv(, conv(, true"})
    void patternsMatchNamesAndTheModulesThatHoldThem(String pattern, String name, boolean matches) {
        assertEquals(matches, new Glob(pattern).matches(name));
    }

    @Test
    void patternWithoutEffectIsRefused() {
        List<String> names = List.of("conv1.weight", "fc.weight", "fc.bias", "fc.scale");
        assertEquals(List.of("fc.weight", "fc.bias", "fc.scale"), new Glob("fc").select(names, "here"));
        assertEquals("here: the pattern head.* matches none of the 4 parameters; the first are [conv1.weight, fc.weight, fc.bias]",
                assertThrows(IllegalArgumentException.class, () -> new Glob("head.*").select(names, "here")).getMessage());
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', textBlock = """
            0.5 | rate multiplier 0.5: expected GLOB=NUMBER
            =0.5 | rate multiplier =0.5: expected GLOB=NUMBER
            fc=x | rate multiplier fc=x: expected GLOB=NUMBER
            fc= | rate multiplier fc=: expected GLOB=NUMBER
            fc=-1 | rate multiplier of fc is -1.0, expected 0 or more
            fc=NaN | rate multiplier of fc is NaN, expected 0 or more
            """)
    void wrongMultipliersAreRefused(String wrong, String message) {
        assertEquals(message, assertThrows(IllegalArgumentException.class, () -> RateRule.Multiplier.parse(wrong)).getMessage());
    }

    @Test
    void multiplierIsAPatternAndAFactor() {
        assertEquals(new RateRule.Multiplier(new Glob("layer4.*"), 0.1), RateRule.Multiplier.parse("layer4.*=0.1"));
    }

    @Test
    void layerDecayIsAboveZeroAndAtMostOne() {
        for (double wrong : new double[] {0, -1, 1.5, Double.NaN}) {
            assertEquals("layer decay is " + wrong + ", expected above 0 and at most 1",
                    assertThrows(IllegalArgumentException.class, () -> new RateRule(List.of(), wrong)).getMessage());
        }
    }
}
