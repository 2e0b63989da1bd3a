package dev.graft.weights;

import java.util.List;
import java.util.Map;

/**
 * What a reader found in a file.
 *
 * @param format   name of the file format
 * @param tensors  the tensors under their full names, in the order of the file
 * @param metadata string metadata of the file
 * @param stateKey where in a training checkpoint the tensors were; empty for the top level
 * @param others   what else was there, in words
 */
record FileContents(String format, List<StoredTensor> tensors, Map<String, String> metadata, String stateKey,
                    List<String> others) {
}
