/**
 * Pretrained weights in files: safetensors and PyTorch checkpoints as lists of located tensors, the report that compares
 * them with a model, the writer of safetensors, and the preprocessing card that belongs to a file.
 *
 * <p>Nothing here runs code that a file brings along: PyTorch pickles are read by a small interpreter with an allow-list.
 * Every file that cannot be used raises {@link dev.graft.weights.WeightsException} with one line that names the file.
 */
package dev.graft.weights;
