"""The ratios of a comparison as an SVG chart."""
BAR, LEFT, SCALE, MOST = 26, 380, 200, 3.2


def chart(rows):
    """A bar for each row that is a ratio, with a mark at its target, if it has one; bars longer than the chart end at its edge."""
    height = BAR * len(rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + int(MOST * SCALE) + 60}" height="{height + 30}" '
             'font-family="sans-serif" font-size="13">',
             f'<line x1="{LEFT + SCALE}" x2="{LEFT + SCALE}" y1="0" y2="{height}" stroke="#888"/>',
             f'<text x="{LEFT + SCALE}" y="{height + 20}" text-anchor="middle">what it is beside</text>']
    for i, row in enumerate(rows):
        y, end = i * BAR, min(row["value"], MOST) * SCALE
        parts += [f'<text x="{LEFT - 8}" y="{y + 17}" text-anchor="end">{row["what"]}, {row["durability"]}</text>',
                  f'<rect x="{LEFT}" y="{y + 4}" width="{end:.0f}" height="{BAR - 8}" fill="{"#3a7" if row["met"] else "#c63"}"/>',
                  f'<text x="{LEFT + end + 6:.0f}" y="{y + 17}">{row["value"]:.2f}</text>']
        if row["target"] is not None:
            target = f"{LEFT + SCALE * row['target']:.0f}"
            parts.append(f'<line x1="{target}" x2="{target}" y1="{y + 2}" y2="{y + BAR - 2}" stroke="#000" stroke-dasharray="3"/>')
    return "\n".join([*parts, "</svg>", ""])
