// Reads a JSON list of custom resources from stdin and writes one sentence for each that its published schema refuses.
// An object whose kind no package knows is refused too.
import { readFileSync } from 'node:fs'

const PACKAGES = {
  'argoproj.io': '@kubernetes-models/argo-cd',
  'external-secrets.io': '@kubernetes-models/external-secrets',
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  'helm.toolkit.fluxcd.io': '@kubernetes-models/flux-cd',
  'keda.sh': '@kubernetes-models/keda',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'networking.istio.io': '@kubernetes-models/istio',
  'source.toolkit.fluxcd.io': '@kubernetes-models/flux-cd',
}

for (const object of JSON.parse(readFileSync(0, 'utf8'))) {
  const [group] = object.apiVersion.split('/')
  try {
    const { [object.kind]: Model } = await import(`${PACKAGES[group]}/${object.apiVersion}/${object.kind}`)
    new Model(object).validate()
  } catch (error) {
    console.log(`${object.kind} ${object.metadata.name}: ${error.message}`)
  }
}
