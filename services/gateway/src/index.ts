export { gatewayConfig } from './config';
export { createGateway, type Gateway, type GatewayDeps } from './gateway';
export { checkGateway, startGateway } from './start';
