/**
 * Methods of fine-tuning as pure functions: a {@link dev.graft.tune.Method} says what trains at which stage, a {@link
 * dev.graft.tune.Stage} works it out to the last tensor with its rate, decay and anchor.
 */
package dev.graft.tune;
