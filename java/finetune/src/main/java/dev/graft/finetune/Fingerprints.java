package dev.graft.finetune;

import dev.graft.engine.Parameters;
import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** SHA-256 of parameters, to show after a run that what was frozen is the same to the bit and that what trained moved. */
final class Fingerprints {
    private final Map<String, byte[]> hashes = new LinkedHashMap<>();

    static Fingerprints of(Parameters parameters, Collection<String> names) {
        Fingerprints f = new Fingerprints();
        for (String name : names) {
            f.hashes.put(name, hash(parameters.read(name)));
        }
        return f;
    }

    /** Names outside {@code live} whose values differ now. */
    List<String> changedBut(Set<String> live, Parameters parameters) {
        return hashes.keySet().stream().filter(n -> !live.contains(n) && !Arrays.equals(hashes.get(n), hash(parameters.read(n)))).toList();
    }

    /** Names in {@code live} whose values are still the same. */
    List<String> unmoved(Set<String> live, Parameters parameters) {
        return hashes.keySet().stream().filter(n -> live.contains(n) && Arrays.equals(hashes.get(n), hash(parameters.read(n)))).toList();
    }

    private static byte[] hash(float[] values) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            ByteBuffer block = ByteBuffer.allocate(1 << 16);
            for (int at = 0; at < values.length; at += 1 << 14) {
                block.clear();
                block.asFloatBuffer().put(values, at, Math.min(1 << 14, values.length - at));
                digest.update(block.array(), 0, 4 * Math.min(1 << 14, values.length - at));
            }
            return digest.digest();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }
}
