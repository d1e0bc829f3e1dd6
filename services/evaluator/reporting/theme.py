"""Colours of the report in light and dark, and how figures use them.

`--c0` to `--c5` are told apart by colour-blind readers (after Okabe and Ito) and stand out 3:1 from the ground; words stand out 4.5:1.
"""

THEME = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --sheet: #ffffff; --line: #e2e6eb; --edge: #7a8592; --ink: #1b2430; --soft: #55606d; --link: #0a5ca8;
  --tint: #eef3f9; --shade: #00000026;
  --good: #1a6e3f; --good-sheet: #e5f4eb; --bad: #a92c22; --bad-sheet: #fcebe9; --open: #7a5200; --open-sheet: #fdf3dd;
  --c0: #0068ad; --c1: #5f6872; --c2: #c24a00; --c3: #9a3f86; --c4: #007a55; --c5: #806200;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161b; --sheet: #1a2027; --line: #2e3741; --edge: #8592a0; --ink: #e8edf2; --soft: #a9b4c0; --link: #7cbcff;
    --tint: #212a34; --shade: #00000090;
    --good: #6fd39b; --good-sheet: #16301f; --bad: #ff9a8f; --bad-sheet: #3b1d1b; --open: #f0c667; --open-sheet: #332913;
    --c0: #5cb3f5; --c1: #aab4bf; --c2: #ff9a55; --c3: #e79bd0; --c4: #3fcf9f; --c5: #e2c548;
  }
}
"""
FIGURE_STYLE = """
.figure text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: var(--ink); }
.figure .soft { fill: var(--soft); }
.figure .goal { fill: var(--good); font-weight: 600; }
.figure .number { font-variant-numeric: tabular-nums; }
.figure .halo { paint-order: stroke; stroke: var(--sheet); stroke-width: 4px; stroke-linejoin: round; }
.figure .c0 { --c: var(--c0); } .figure .c1 { --c: var(--c1); } .figure .c2 { --c: var(--c2); }
.figure .c3 { --c: var(--c3); } .figure .c4 { --c: var(--c4); } .figure .c5 { --c: var(--c5); }
.figure .ground { fill: var(--sheet); }
.figure .grid { stroke: var(--line); } .figure .axis { stroke: var(--edge); }
.figure .base { stroke: var(--ink); stroke-width: 1.5; stroke-dasharray: 5 4; }
.figure .band { fill: var(--good); fill-opacity: .14; }
.figure .cell { fill: var(--c0); }
.figure .area { fill: var(--c); fill-opacity: .2; }
.figure .whisker { stroke: var(--c); stroke-width: 2; } .figure .thin { stroke-width: 1.4; stroke-opacity: .6; }
.figure .curve { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; } .figure .dashed { stroke-dasharray: 7 4; }
.figure .mark { fill: var(--c); stroke: var(--c); stroke-width: 2; stroke-linejoin: round; } .figure .open { fill: var(--sheet); }
"""
