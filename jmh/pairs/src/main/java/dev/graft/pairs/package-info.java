/**
 * Paired measurements: what one measured process reports ({@link dev.graft.pairs.Measurement}), and the program that
 * runs several such processes in turns and keeps their reports ({@link dev.graft.pairs.Pairs}).
 */
package dev.graft.pairs;
