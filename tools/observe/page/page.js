// The page: which dashboard is shown, of which pods, over what time; asked again while it is live.
import { Asking } from './asking.js'
import { colourOf, graph } from './drawing.js'
import { inUnit } from './units.js'

const LIVE_MS = 5000
const main = document.querySelector('#panels')
const form = document.querySelector('#chosen')
const trouble = document.querySelector('#trouble')
const config = await (await fetch('config.json')).json()
let shown = 0 // the number of the latest drawing; an older one that is late is thrown away

const short = (dashboard) => dashboard.title.split(': ')[1]
const nameOf = (dashboard) => dashboard.uid.split('-').at(-1)
// What is shown is in the address, so that it can be sent to somebody: #slow?pod=pod-2&seconds=120
const [shownName, shownChoice] = [0, 1].map((part) => () => location.hash.slice(1).split('?')[part] ?? '')
const current = () => shownName() || nameOf(config.dashboards[0])

function html(name, attributes = {}, ...children) {
  const made = document.createElement(name)
  Object.assign(made, attributes)
  made.append(...children)
  return made
}

function showQuestions() {
  const named = [...config.dashboards.map((one) => [nameOf(one), short(one)]), ['alerts', 'Alerts']]
  document.querySelector('#questions').replaceChildren(...named.map(([name, says]) => {
    const link = html('a', { href: `#${name}?${shownChoice()}` }, says)
    if (name === current()) link.setAttribute('aria-current', 'page')
    return link
  }))
  document.querySelector('#elsewhere').replaceChildren(
    html('a', { href: config.traces }, 'Traces'), ' · ', html('a', { href: `${config.prometheusPages}/graph` }, 'Prometheus'))
}

async function offerChoices(asking) {
  for (const label of ['namespace', 'pod']) {
    const select = form.elements[label], before = chosen()[label]
    const values = await asking.values(label)
    // One that is gone stays chosen: its last minutes are what somebody looks at.
    if (before !== '.*' && !values.includes(before)) values.push(before)
    select.replaceChildren(html('option', { value: '.*' }, 'All'), ...values.map((value) => html('option', { value }, value)))
    select.value = before
  }
}

function chosen() {
  const choice = new URLSearchParams(shownChoice())
  const [namespace, pod] = ['namespace', 'pod'].map((label) => choice.get(label) ?? '.*')
  return { namespace, pod, seconds: Number(choice.get('seconds') ?? 300) }
}

function choose() {
  const choice = ['namespace', 'pod', 'seconds'].map((name) => [name, form.elements[name].value])
  location.hash = `${current()}?${new URLSearchParams(choice)}`
}

async function panelSection(asking, panel, marks) {
  const lines = (await Promise.all(panel.targets.map((target) => asking.lines(target)))).flat()
  const withDots = panel.targets.find((target) => target.exemplar)
  const dots = withDots ? await asking.dots(withDots) : []
  const query = `${config.prometheusPages}/graph?${new URLSearchParams({ 'g0.expr': asking.filled(panel.targets[0].expr), 'g0.tab': '0' })}`
  const heading = html('h2', {}, html('a', { href: query, title: 'Open the query in Prometheus' }, panel.title))
  const body = panel.type === 'stat' ? [number(panel, lines)] : drawn(asking, panel, lines, dots, marks)
  const section = html('section', { className: panel.type }, heading, html('p', {}, panel.description), ...body)
  section.dataset.lines = lines.filter((line) => line.points.length).length
  return section
}

function number(panel, lines) {
  const value = lines[0]?.points.at(-1)?.[1]
  if (value === undefined) return html('div', { className: 'number' }, '–')
  const { steps } = panel.fieldConfig.defaults.thresholds
  const colour = steps.filter((step) => step.value === null || step.value <= value).at(-1).color
  const { unit, decimals } = panel.fieldConfig.defaults
  return html('div', { className: `number ${steps.length > 1 ? colour : ''}` }, inUnit(value, unit, decimals))
}

function drawn(asking, panel, lines, dots, marks) {
  const { unit, custom } = panel.fieldConfig.defaults
  const isHeatmap = panel.type === 'heatmap'
  const picture = graph({
    lines, dots, marks, unit, isHeatmap, start: asking.start, end: asking.end,
    isStacked: custom?.stacking?.mode === 'normal', label: `${panel.title}: ${panel.description}`,
  })
  if (isHeatmap) return [picture]
  return [picture, html('ul', {}, ...lines.map(({ legend, points }, index) => {
    const mark = html('span')
    mark.style.background = colourOf(index, legend)
    const last = points.at(-1)?.[1]
    return html('li', {}, mark, last === undefined ? legend : `${legend} ${inUnit(last, unit)}`)
  }))]
}

async function alertsSection(asking) {
  const rows = (await asking.rules()).map((rule) => {
    const says = rule.alerts.map((alert) => alert.annotations.summary).join(' ')
    const remedy = html('a', { href: rule.annotations.runbook_url }, rule.name)
    return html('tr', {}, html('td', {}, remedy), html('td', { className: rule.state }, rule.state), html('td', {}, says))
  })
  const head = html('tr', {}, ...['Alert', 'State', 'Says'].map((says) => html('th', {}, says)))
  return html('section', { className: 'all' }, html('table', {}, head, ...rows))
}

async function draw() {
  const mine = ++shown
  const asking = new Asking(config, chosen())
  try {
    await offerChoices(asking)
    const dashboard = config.dashboards.find((one) => nameOf(one) === current())
    let sections
    if (dashboard) {
      const marks = (await Promise.all(dashboard.annotations.list.map((one) => asking.spans(one)))).flat()
      sections = await Promise.all(dashboard.panels.map((panel) => panelSection(asking, panel, marks)))
    } else {
      sections = [await alertsSection(asking)]
    }
    if (mine !== shown) return
    main.replaceChildren(...sections)
    trouble.hidden = true
  } catch (error) {
    trouble.textContent = `Prometheus at ${config.prometheus} does not answer: ${error.message}`
    trouble.hidden = false
  }
  main.dataset.drawn = mine
}

showQuestions()
addEventListener('hashchange', () => { showQuestions(); draw() })
form.addEventListener('change', (event) => { if (event.target.name !== 'live') choose() })
form.elements.seconds.value = chosen().seconds
// Not while somebody points at what would be replaced.
const isPointedAt = () => main.querySelector('a:hover, a:focus, .mark:hover') !== null
setInterval(() => { if (form.elements.live.checked && !document.hidden && !isPointedAt()) draw() }, LIVE_MS)
await draw()
