package dev.graft.predict;

/**
 * One class in the answer for a picture.
 *
 * @param name class name
 * @param probability softmax of the logits, 0 to 1
 */
public record ClassProbability(String name, double probability) {
}
