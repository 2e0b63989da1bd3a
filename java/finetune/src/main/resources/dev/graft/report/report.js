// Draws every figure.chart from the JSON beside it: per strategy one colour, a thick mean and a thin line per seed.
"use strict";
const style = getComputedStyle(document.documentElement);
const colour = name => () => style.getPropertyValue(name).trim();
const dashes = [[], [8, 4], [2, 3], [10, 4, 2, 4], [5, 5], [14, 5]];
const font = '12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
const charts = [];

for (const figure of document.querySelectorAll("figure.chart")) {
  const plot = figure.querySelector(".plot");
  const data = JSON.parse(figure.querySelector("script").textContent);
  const show = v => v == null ? "" : data.percent ? (100 * v).toFixed(2) + " %" : v.toFixed(4);
  const columns = [data.epochs];
  const series = [{ label: "Epoch", value: (u, v) => v == null ? "" : String(v) }];
  data.strategies.forEach((strategy, i) => {
    const stroke = colour("--s" + i % 6);
    const points = { show: data.epochs.length < 2 };
    if (strategy.seeds.length > 1) {
      for (const one of strategy.seeds) {
        columns.push(one.values);
        series.push({ class: "one-seed", label: strategy.name + ", seed " + one.seed, group: i, stroke, width: 1, alpha: .35, points });
      }
    }
    columns.push(strategy.mean);
    series.push({ label: strategy.name, group: i, stroke, width: 2.5, dash: dashes[Math.floor(i / 6) % 6], points, value: (u, v) => show(v) });
  });
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font, labelFont: font };
  const size = () => ({ width: plot.clientWidth, height: 320 });
  const chart = new uPlot({
    ...size(),
    series,
    scales: { x: { time: false, range: (u, low, high) => low === high ? [low - 1, high + 1] : [low, high] } },
    axes: [
      { ...axis, label: "Epoch", size: 34, labelSize: 22, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
      { ...axis, label: data.measure, size: 60, values: (u, ticks) => ticks.map(v => data.percent ? +(100 * v).toFixed(2) + " %" : String(v)) },
    ],
    legend: { markers: { width: 0, fill: (u, i) => series[i].stroke ? series[i].stroke() : null } },
    cursor: { drag: { setScale: false }, points: { show: false } },
    hooks: { setSeries: [(u, i, change) => {
      if (i == null || change.show == null || series[i].class) return;
      series.forEach((s, j) => { if (s.class && s.group === series[i].group) u.setSeries(j, { show: change.show }); });
    }] },
  }, columns, plot);
  const canvas = chart.root.querySelector("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", data.measure + " by epoch; the table of values below has the same figures");
  charts.push(chart);
  new ResizeObserver(() => chart.setSize(size())).observe(plot);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(c => c.redraw(false, true)));
