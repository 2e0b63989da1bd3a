/**
 * Self-contained HTML reports: one file that opens offline, in light and dark, with a table beside every chart.
 *
 * <p>A {@link dev.graft.report.Report} is a title and a list of {@link dev.graft.report.Section sections}, all plain
 * records without engine types.
 */
package dev.graft.report;
