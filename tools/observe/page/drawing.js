// A graph as SVG: lines, stacks, or the buckets of a histogram; marks behind them, dots before them.
import { inUnit } from './units.js'

const WIDTH = 480, HEIGHT = 170, LEFT = 52, RIGHT = 6, TOP = 8, BOTTOM = 18
const COLOURS = ['#2563eb', '#d97706', '#059669', '#db2777', '#7c3aed', '#0891b2', '#65a30d', '#b91c1c']
const SVG = 'http://www.w3.org/2000/svg'

export const colourOf = (index, legend) => (legend === 'total' ? '#8c959f' : COLOURS[index % COLOURS.length])

export function graph({ lines, dots, marks, start, end, unit, isStacked, isHeatmap, label }) {
  const svg = element('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': label })
  const x = (at) => LEFT + ((at - start) / (end - start)) * (WIDTH - LEFT - RIGHT)
  times(svg, x, start, end)
  for (const mark of marks) svg.append(band(mark, x, start))
  if (isHeatmap) return buckets(svg, lines, x)
  const shown = isStacked ? stacked(lines) : lines
  const values = shown.flatMap((line) => line.points.map(([, value]) => value)).concat(dots.map((dot) => dot.value))
  const high = Math.max(...values, 0) || 1, low = Math.min(...values, 0)
  const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM)
  scale(svg, y, low, high, unit)
  shown.forEach((line, index) => svg.append(isStacked ? area(line, index, x, y) : path(line, index, x, y)))
  for (const dot of dots) svg.append(link(dot, x, y, unit))
  return svg
}

function element(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  made.append(...children)
  return made
}

const titled = (text) => element('title', {}, text)
const text = (words, x, y, anchor) => element('text', { x, y, 'text-anchor': anchor }, words)

function times(svg, x, start, end) {
  for (let i = 1; i <= 3; i++) {
    const at = start + ((end - start) * i) / 4
    svg.append(text(new Date(at * 1000).toLocaleTimeString(), x(at), HEIGHT - 5, 'middle'))
  }
}

function scale(svg, y, low, high, unit) {
  for (const value of [low, (low + high) / 2, high]) {
    svg.append(element('line', { class: 'grid', x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }))
    svg.append(text(inUnit(value, unit), LEFT - 4, y(value) + 4, 'end'))
  }
}

function band({ from, to, says, colour }, x, start) {
  const left = x(Math.max(from, start)), width = Math.max(x(to) - left, 2)
  const at = new Date(from * 1000).toLocaleTimeString()
  const tall = { y: 0, height: HEIGHT - BOTTOM, fill: colour }
  const begins = element('rect', { ...tall, x: left, width: from > start ? 1.5 : 0, opacity: 0.6 })
  const lasts = element('rect', { ...tall, x: left, width, opacity: 0.08 })
  return element('g', { class: 'mark' }, titled(`${says}, ${at}`), begins, lasts)
}

const coordinates = (points, x, y) => points.map(([at, value]) => `${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join('L')

function path({ legend, points }, index, x, y) {
  return element('path', { class: 'line', d: points.length ? `M${coordinates(points, x, y)}` : '', stroke: colourOf(index, legend) }, titled(legend))
}

function area({ legend, points, below }, index, x, y) {
  const d = points.length ? `M${coordinates(points, x, y)}L${coordinates(below.toReversed(), x, y)}Z` : ''
  return element('path', { class: 'area', d, fill: colourOf(index, legend), opacity: 0.65 }, titled(legend))
}

function stacked(lines) {
  const heights = new Map()
  return lines.map((line) => {
    const below = line.points.map(([at]) => [at, heights.get(at) ?? 0])
    const points = line.points.map(([at, value]) => [at, (heights.get(at) ?? 0) + value])
    for (const [at, height] of points) heights.set(at, height)
    return { ...line, points, below }
  })
}

function link({ at, value, trace }, x, y, unit) {
  const dot = element('circle', { cx: x(at), cy: y(value), r: 3.5, fill: '#b91c1c' }, titled(`${inUnit(value, unit)}: open its trace`))
  return element('a', { href: trace, target: '_blank' }, dot)
}

// Cumulative buckets, drawn as what each alone has, from the fastest up.
function buckets(svg, lines, x) {
  const sorted = lines.filter((line) => line.points.length).sort((a, b) => edge(a) - edge(b))
  const height = (HEIGHT - TOP - BOTTOM) / Math.max(sorted.length, 1)
  let below = new Map()
  const cells = sorted.map((line) => {
    const own = line.points.map(([at, value]) => [at, Math.max(value - (below.get(at) ?? 0), 0)])
    below = new Map(line.points)
    return own
  })
  const most = Math.max(...cells.flat().map(([, value]) => value), 1e-9)
  cells.forEach((own, row) => {
    const top = HEIGHT - BOTTOM - (row + 1) * height
    own.forEach(([at, value], i) => {
      const width = x(own[i + 1]?.[0] ?? at) - x(at) + 1
      if (value) svg.append(element('rect', { x: x(at), y: top, width, height, fill: '#2563eb', opacity: 0.1 + 0.9 * (value / most) }))
    })
    const says = Number.isFinite(edge(sorted[row])) ? inUnit(edge(sorted[row]), 's') : 'more'
    if (row % 2 === 0) svg.append(text(says, LEFT - 4, top + height, 'end'))
  })
  return svg
}

const edge = (line) => (line.labels.le === '+Inf' ? Infinity : Number(line.labels.le))
