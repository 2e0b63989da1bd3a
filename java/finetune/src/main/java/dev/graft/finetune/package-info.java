/**
 * Fine-tuning as one call: {@link dev.graft.finetune.FineTuning} opens model, weights and data, shows the plan, trains,
 * evaluates, and saves a bundle that it has read back and compared.
 */
package dev.graft.finetune;
