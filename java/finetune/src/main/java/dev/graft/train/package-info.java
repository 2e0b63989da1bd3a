/** The training loop, its schedules and its plans. {@link dev.graft.train.Trainer} reads top to bottom. */
package dev.graft.train;
