// Draws the comparison's figures in their frame.
"use strict";
fetch("/compare/figure.json")
  .then((answer) => answer.json())
  .then(({ data, layout }) => Plotly.newPlot("figure", data, layout, { responsive: true, displaylogo: false }));
